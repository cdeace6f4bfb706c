"""The folder of a run: its name, its config.yaml and its summary.json."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from <<cookiecutter.package>>.engine.errors import ConfigError

SHARED_NAME = "RUN_NAME"  # environment variable through which the other processes of a run learn its name


class Run:
    """One run and what it records about itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.summary: dict[str, Any] = {}
        self.started = time.perf_counter()

    def record(self, **facts: Any) -> None:
        """Add facts to summary.json; whoever reads it meanwhile sees the old file or the new one, whole."""
        self.summary.update(facts, seconds=round(time.perf_counter() - self.started, 3))
        write_atomically(self.path / "summary.json", json.dumps(self.summary, indent=2) + "\n")


@contextmanager
def open_run(cfg: DictConfig) -> Iterator[Run]:
    """Make the folder of a new run and fill in `cfg.name`; record in the end how the run went.

    Raises:
        ConfigError: `name` is not the name of a folder, or is taken.
    """
    run = Run(claim_folder(cfg))
    try:
        yield run
        run.record(status="finished")
    except BaseException as error:
        if run.summary:
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            run.record(status="interrupted" if interrupted else "failed", error=f"{type(error).__name__}: {error}")
        elif rank_zero_only.rank == 0 and not any(run.path.iterdir()):
            run.path.rmdir()  # nothing has started
        raise


def claim_folder(cfg: DictConfig) -> Path:
    """Return the folder `runs_dir/name`, made now, so that no other run can have it."""
    if rank_zero_only.rank != 0:  # a further process of a run that the first one has named
        cfg.name = cfg.name or os.environ.get(SHARED_NAME)
        if cfg.name is None:
            raise ConfigError("name must be given, as name=baseline, when a launcher starts the processes of a run")
        return Path(cfg.run_dir)
    if cfg.name is None:
        name_by_time(cfg)
    elif not re.fullmatch(r"\w[\w.-]*", str(cfg.name)):
        raise ConfigError(f"name must be letters, digits, '_', '-' and '.', as one folder, got {cfg.name!r}")
    else:
        move_aside_or_refuse(cfg)
    os.environ[SHARED_NAME] = str(cfg.name)
    return Path(cfg.run_dir)


def name_by_time(cfg: DictConfig) -> None:
    """Name the run by the time; runs that start in the same second get a number as well."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in count(1):
        cfg.name = now if number == 1 else f"{now}_{number}"
        try:
            Path(cfg.run_dir).mkdir(parents=True)
            return
        except FileExistsError:
            continue


def move_aside_or_refuse(cfg: DictConfig) -> None:
    """Make the folder of a named run; an older run stays, under another name when `overwrite` is set."""
    path = Path(cfg.run_dir)
    if cfg.overwrite and path.exists():
        path.rename(path.with_name(f"{path.name}.replaced-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"))
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise ConfigError(
            f"name={cfg.name} is taken: {path} exists. Choose another name, "
            "or add overwrite=true to move that folder aside and start afresh"
        )


def save_config(cfg: DictConfig, run: Run) -> None:
    """Write config.yaml: what was asked, with the name and the seed filled in."""
    write_atomically(run.path / "config.yaml", OmegaConf.to_yaml(cfg))


def load_config(run_dir: str | Path | None) -> DictConfig:
    """Read the config.yaml of a run."""
    path = Path(run_dir or "") / "config.yaml"
    if run_dir is None or not path.is_file():
        raise ConfigError(f"run must be the folder of a run, as run=runs/baseline; there is no {path}")
    return DictConfig(OmegaConf.load(path))


def load_summary(run_dir: str | Path) -> dict[str, Any]:
    """Read the summary.json of a run."""
    return json.loads((Path(run_dir) / "summary.json").read_text(encoding="utf-8"))


@rank_zero_only
def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step: a kill at any moment leaves the old text or the new."""
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)

"""The folder of a run: its name, its config.yaml and its summary.json."""

import json
import os
import re
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from <<cookiecutter.package>>.engine.errors import ConfigError

SHARED_NAME = "RUN_NAME"  # environment variable from which the further processes of a run learn its name


class Run:
    """One run and what it records about itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.summary: dict[str, Any] = {}
        self.started = time.perf_counter()

    def record(self, **facts: Any) -> None:
        """Add facts to summary.json; whoever reads it meanwhile sees the old file or the new one, whole."""
        self.summary.update(facts, seconds=round(time.perf_counter() - self.started, 3))
        summary = json.loads(json.dumps(self.summary), parse_constant=str)  # JSON has no NaN
        write_atomically(self.path / "summary.json", json.dumps(summary, indent=2) + "\n")


@contextmanager
def open_run(cfg: DictConfig) -> Generator[Run]:
    """Make the folder of a new run and fill in `cfg.name`; record in the end how the run went.

    Raises:
        ConfigError: `name` is not the name of a folder, or is taken, or the folder cannot be made.
    """
    older = claim_folder(cfg)
    run = Run(Path(cfg.run_dir))
    try:
        yield run
    except BaseException as error:
        interrupted = KeyboardInterrupt in (type(error), type(error.__context__))  # Lightning turns it into an exit
        if run.summary:
            run.record(status="interrupted" if interrupted else "failed", error=f"{type(error).__name__}: {error}")
        elif rank_zero_only.rank == 0:  # nothing has started
            with suppress(OSError):
                run.path.rmdir()
                older.rename(run.path) if older else None
        if isinstance(error, MisconfigurationException):  # Lightning refuses what it was asked to do
            raise ConfigError(str(error)) from error
        raise
    run.record(status="finished")


def claim_folder(cfg: DictConfig) -> Path | None:
    """Make the folder `runs_dir/name`, which no other run can then have; choose a name when there is none.

    Returns the new place of an older run of that name, moved aside because of `overwrite`.
    """
    older = None
    if rank_zero_only.rank != 0:  # a further process of a run that the first one has named
        cfg.name = cfg.name or os.environ.get(SHARED_NAME)
        if cfg.name is None:
            raise ConfigError("name must be given, as name=baseline, when a launcher starts the processes of a run")
        return older
    try:
        if cfg.name is None:
            cfg.name = unique_name(Path(cfg.runs_dir))
        elif not re.fullmatch(r"\w[\w.-]*", str(cfg.name)):
            raise ConfigError(f"name must be one folder of letters, digits, '_', '-' and '.', got {cfg.name!r}")
        else:
            cfg.name = str(cfg.name)
            path = Path(cfg.run_dir)
            if cfg.overwrite and path.exists():
                older = path.rename(f"{path}.replaced-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
            path.mkdir(parents=True)
    except FileExistsError as error:
        raise ConfigError(f"{cfg.run_dir} exists: choose another name, or move it aside with overwrite=true") from error
    except OSError as error:
        raise ConfigError(f"{cfg.run_dir} cannot be made: {error}") from error
    os.environ[SHARED_NAME] = cfg.name
    return older


def unique_name(runs_dir: Path) -> str:
    """Make and name a folder by the time; runs that start in the same second get a number as well."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    names = chain([now], (f"{now}_{number}" for number in count(2)))
    while True:
        with suppress(FileExistsError):
            (path := runs_dir / next(names)).mkdir(parents=True)
            return path.name


def load_run(run_dir: str | None) -> tuple[DictConfig, dict[str, Any]]:
    """Read the config.yaml and the summary.json of a run."""
    path = Path(str(run_dir or ""))
    try:
        return DictConfig(OmegaConf.load(path / "config.yaml")), json.loads((path / "summary.json").read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"run must be the folder of a run, as run=runs/baseline, got {run_dir}: {error}") from error


@rank_zero_only
def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step: a kill at any moment leaves the old text or the new."""
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)

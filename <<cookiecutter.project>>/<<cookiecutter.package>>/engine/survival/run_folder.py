"""The folder of a run: is it new, unfinished or finished, and what does it say?"""

import json
import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError, Preempted, TrainingError
from <<cookiecutter.package>>.engine.survival.config_differences import PLACE, differences
from <<cookiecutter.package>>.engine.survival.durable_file import replacing
from <<cookiecutter.package>>.engine.survival.run_lock import locked
from <<cookiecutter.package>>.engine.survival.signals import handlers_restored

# Environment variable from which the further processes of a run learn its name.
SHARED_NAME = f"{__name__.partition('.')[0].upper()}_RUN_NAME"


class Run:
    """One run and what it records about itself.

    Args:
        path: its folder.
        summary: what summary.json said when the run was opened.
        checkpoint: from which it continues; None starts at the beginning.
    """

    def __init__(self, path: Path, summary: dict[str, Any], checkpoint: Path | None = None) -> None:
        self.path, self.summary, self.checkpoint = path, summary, checkpoint
        self.moved = False  # its data lie elsewhere now
        self.scored = "best"  # or last: the checkpoint that is tested in the end
        self.started, self.finished = False, summary.get("status") == "finished"
        self.clock = time.perf_counter() - summary.get("seconds", 0)

    def start(self, cfg: DictConfig, **facts: Any) -> None:
        """Record the config and that the run is running."""
        self.started = True
        if self.checkpoint is None:  # what an earlier start logged before its first checkpoint
            (self.path / "metrics.csv").unlink(missing_ok=True)
        self.write("config.yaml", OmegaConf.to_yaml(cfg))
        self.summary.pop("error", None)
        self.record(status="running", name=cfg.name, seed=cfg.seed, **facts)

    def record(self, **facts: Any) -> None:
        """Add facts to summary.json."""
        self.summary.update(facts, seconds=round(time.perf_counter() - self.clock, 3))
        summary = json.loads(json.dumps(self.summary), parse_constant=str)  # JSON has no NaN
        self.write("summary.json", json.dumps(summary, indent=2) + "\n")

    @rank_zero_only
    def write(self, name: str, text: str) -> None:
        """Replace a file of the folder; whoever reads it meanwhile sees the old text or the new, whole."""
        with replacing(self.path / name) as file:
            file.write(text.encode())


@contextmanager
def open_run(cfg: DictConfig) -> Generator[Run]:
    """Open the folder of a run, which is new or has the same config; record in the end how it went.

    Fills in `cfg.name` and the `cfg.seed` that a run to be continued has drawn.

    Raises:
        ConfigError: `name` is not the name of a folder, the folder cannot be made or is in use, or holds something else.
    """
    with ExitStack() as stack:
        stack.enter_context(handlers_restored())
        older = claim_folder(cfg, stack)
        run = Run(Path(cfg.run_dir), {})
        try:
            run = read_run(cfg)
            yield run
            if not run.finished:
                run.record(status="finished")
        except BaseException as error:
            interrupted = KeyboardInterrupt in (type(error), type(error.__context__))  # Lightning makes it an exit
            if run.started:
                reason = error.signal if isinstance(error, Preempted) else f"{type(error).__name__}: {error}"
                status = "interrupted" if interrupted or isinstance(error, Preempted) else "failed"
                with suppress(TrainingError):  # the disk may be full: the first error is the one to show
                    run.record(status=status, error=reason)
            elif rank_zero_only.rank == 0:
                with suppress(OSError):  # leave all as it was: the folder of this run is empty
                    run.path.rmdir()
                    _ = older and older.rename(run.path)
            if isinstance(error, MisconfigurationException):  # Lightning refuses what it was asked to do
                raise ConfigError(str(error)) from error
            if isinstance(error, Preempted) and run.started:
                hint = f"name={cfg.name}{' and without overwrite=true' * cfg.overwrite}"
                say(f"stopped by {error.signal}: the same command with {hint} continues {run.path}")
            if interrupted:
                raise SystemExit(130) from error
            raise


def claim_folder(cfg: DictConfig, stack: ExitStack) -> Path | None:
    """Make and lock the folder `runs_dir/name`; choose a name when there is none.

    Returns the new place of an older run of that name, moved aside because of `overwrite`.
    """
    if rank_zero_only.rank != 0:  # a further process of a run that the first one has named
        cfg.name = cfg.name or os.environ.get(SHARED_NAME)
        if cfg.name is None:
            raise ConfigError("name must be given, as name=baseline, when a launcher starts the processes of a run")
        return None
    older = None
    try:
        cfg.name = cfg.name or unique_name(Path(cfg.runs_dir))
        path = Path(cfg.run_dir)
        path.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(path))
        if cfg.overwrite and any(path.iterdir()):
            older = path.rename(f"{path}.replaced-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
            path.mkdir()
    except OSError as error:
        raise ConfigError(f"{cfg.run_dir if cfg.name else cfg.runs_dir} cannot be made: {error}") from error
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


def read_run(cfg: DictConfig) -> Run:
    """Return the run that a folder holds, if its config is `cfg`.

    Every process reads for itself: with the config that the first one may have written meanwhile, all find the same.
    """
    path = Path(cfg.run_dir)
    if cfg.overwrite or not (path / "config.yaml").exists():
        if rank_zero_only.rank == 0 and any(not file.match(".*.unfinished") for file in path.iterdir()):
            raise ConfigError(f"{path} is not empty and has no config.yaml: put it back, or choose another name")
        return Run(path, {})
    before, summary = load_run(path)
    if cfg.seed is None:
        cfg.seed = before.seed
    scored = "last" if cfg.checkpoint == "last" and summary.get("status") != "finished" else "best"
    if scored == "last":
        cfg.checkpoint = before.checkpoint
        say(f"{path} is to be scored with its last.ckpt instead of its best.ckpt (checkpoint=last)")
    changes = differences(before, cfg)
    moved = [key for key in changes if PLACE.fullmatch(key) and summary.get("split_sha256")]
    if unlike := [line for key, line in changes.items() if key not in moved]:
        raise ConfigError(
            f"{path} has another config. Choose another name, give the same values, or start afresh with overwrite=true, "
            f"which moves the folder aside:\n  " + "\n  ".join(unlike)
        )
    checkpoints = (path / "checkpoints" / name for name in ("last.ckpt", "best.ckpt"))
    run = Run(path, summary, next(filter(Path.exists, checkpoints), None))
    run.moved, run.scored = bool(moved), scored
    return run


def load_run(run_dir: str | Path | None) -> tuple[DictConfig, dict[str, Any]]:
    """Read the config.yaml and the summary.json of a run."""
    path = Path(str(run_dir or ""))
    try:
        cfg = OmegaConf.load(path / "config.yaml")
        summary = json.loads((path / "summary.json").read_text()) if (path / "summary.json").exists() else {}
        if isinstance(cfg, DictConfig) and isinstance(summary, dict):
            return cfg, summary
        error = "config.yaml or summary.json is not a mapping"
    except (OSError, ValueError, YAMLError) as cause:
        error = str(cause)
    raise ConfigError(f"run must be the folder of a run, as run=runs/baseline, got {run_dir}: {error}")

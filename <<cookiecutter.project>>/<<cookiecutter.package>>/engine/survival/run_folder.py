"""The folder of a run: is it new, unfinished or finished, and what does it say?"""

import json
import os
import shutil
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from itertools import count
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from <<cookiecutter.package>>.engine.console import again, say, warn
from <<cookiecutter.package>>.engine.errors import ConfigError, Preempted, TrainingError
from <<cookiecutter.package>>.engine.machine import set_rank
from <<cookiecutter.package>>.engine.survival.causes import explained
from <<cookiecutter.package>>.engine.survival.config_differences import PLACE, differences
from <<cookiecutter.package>>.engine.survival.durable_file import keeping, replacing
from <<cookiecutter.package>>.engine.survival.loops import call
from <<cookiecutter.package>>.engine.survival.run_lock import locked
from <<cookiecutter.package>>.engine.survival.signals import stopping_at_once
from <<cookiecutter.package>>.engine.targets import arguments, blocks, find

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
        self.trainer: Trainer | None = None
        self.clock = time.perf_counter() - summary.get("seconds", 0)

    def start(self, cfg: DictConfig, **facts: Any) -> None:
        """Record the config and that the run is running."""
        self.started = True
        if self.checkpoint is None:  # what an earlier start logged before its first checkpoint
            (self.path / "metrics.csv").unlink(missing_ok=True)
        self.write("config.yaml", text := OmegaConf.to_yaml(cfg))
        self.summary.pop("error", None)
        facts["config_sha256"] = sha256(text.encode()).hexdigest()
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
    set_rank(cfg)
    with ExitStack() as stack:
        stack.enter_context(stopping_at_once())
        new, older = claim_folder(cfg, stack)
        run = Run(Path(cfg.run_dir), {})
        try:
            run = read_run(cfg)
            yield run
            if not run.finished:
                run.record(status="finished")
        except BaseException as error:
            shown = explained(error)
            refused = isinstance(shown, ConfigError) and not (run.trainer and run.trainer.global_step)
            if new and (refused or not run.started):  # leave all as it was
                shutil.rmtree(run.path, ignore_errors=True)
                _ = older and older.rename(run.path)
            elif run.started:
                stopped = isinstance(error, Preempted)
                reason = error.signal if stopped else f"{type(shown).__name__}: {shown}"
                with suppress(TrainingError):  # the disk may be full: the first error is the one to show
                    run.record(status="interrupted" if stopped else "failed", error=reason)
            if isinstance(error, Preempted):
                remedy = f": {how_to_continue(cfg)} continues {run.path}" if run.path.exists() else ""
                say(f"stopped by {error.signal}{remedy}")
            for child in active_children():  # of a loader: Python would wait for those that ignore signals
                child.kill()
            if shown is not error:
                raise shown from error
            raise
        finally:
            if run.started and run.trainer:
                call(run.trainer, "after_run")


def claim_folder(cfg: DictConfig, stack: ExitStack) -> tuple[bool, Path | None]:
    """Make and lock the folder `runs_dir/name`; choose a name when there is none.

    Returns whether it is new, and the new place of an older run of that name: moved aside because of `overwrite`, or
    because it has another config and not one checkpoint.
    """
    if rank_zero_only.rank != 0:  # a further process of a run that the first one has named
        cfg.name = cfg.name or os.environ.get(SHARED_NAME)
        if cfg.name is None:
            raise ConfigError("name must be given, as name=baseline, when a launcher starts the processes of a run")
        return False, None
    older = None
    try:
        cfg.name = cfg.name or unique_name(Path(cfg.runs_dir))
        path = Path(cfg.run_dir)
        path.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(path))
        if any(path.iterdir()) and (cfg.overwrite or is_abandoned(path, cfg)):
            folder = path.resolve()  # what a link leads to: the lock is that folder's
            older = folder.rename(f"{folder}.replaced-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
            folder.mkdir()
        stack.enter_context(keeping(path))
    except OSError as error:
        raise ConfigError(f"{cfg.run_dir if cfg.name else cfg.runs_dir} cannot be made: {error}") from error
    os.environ[SHARED_NAME] = cfg.name
    return all(file.match(".*.unfinished") for file in path.iterdir()), older


def is_abandoned(path: Path, cfg: DictConfig) -> bool:
    """Say whether a folder holds a run of another config that ended before its first checkpoint."""
    if not (path / "config.yaml").exists():
        return False
    before, summary = load_run(path)
    if (now := cfg.copy()).seed is None:
        now.seed = before.seed
    unfinished = summary.get("status") != "finished" and latest_checkpoint(path) is None
    return unfinished and bool(differences(before, now))


def latest_checkpoint(path: Path) -> Path | None:
    """Return the checkpoint of a run from which it continues."""
    return next(filter(Path.exists, (path / "checkpoints" / name for name in ("last.ckpt", "best.ckpt"))), None)


def how_to_continue(cfg: DictConfig) -> str:
    """Return the command that continues this run, in words where it is the one that was given."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        return f"the jobs after it have not run, `{again(f'name={cfg.name}', *['overwrite=false'] * cfg.overwrite)}`"
    return f"the same command with name={cfg.name}{' and without overwrite=true' * cfg.overwrite}"


def unique_name(runs_dir: Path) -> str:
    """Make and name a folder by the time; runs that start in the same second get a number as well."""
    name = now = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    for number in count(2):
        with suppress(FileExistsError):
            (runs_dir / name).mkdir(parents=True)
            break
        name = f"{now}_{number}"
    return name


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
    run = Run(path, summary, latest_checkpoint(path))
    if cfg.checkpoint == "last" and not run.finished:
        cfg.checkpoint, run.scored = before.checkpoint, "last"
        say(f"{path} is to be scored with its last.ckpt instead of its best.ckpt (checkpoint=last)")
    changes = differences(before, cfg)
    run.moved = any(PLACE.fullmatch(key) for key in changes)
    unlike = [line for key, line in changes.items() if not (PLACE.fullmatch(key) and summary.get("split_sha256"))]
    if run.finished and changes.keys() == {"trainer.max_epochs"} and before.trainer.max_epochs < cfg.trainer.max_epochs:
        check_schedule(cfg, before, path)
        run.finished = False
        say(f"{path} was finished after {before.trainer.max_epochs} epochs and goes on to {cfg.trainer.max_epochs}")
    elif unlike and (run.checkpoint or run.finished):
        raise ConfigError(
            f"{path} has another config. Choose another name, give the same values, or start afresh with overwrite=true, "
            f"which moves the folder aside:\n  " + "\n  ".join(unlike)
        )
    return run


def check_schedule(cfg: DictConfig, before: DictConfig, path: Path) -> None:
    """Raise ConfigError when the learning rate of a finished run was planned for its length."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for _, block in blocks(plain.get("scheduler"), "scheduler"):
        if {"total_steps", "T_max"} & arguments(find(block["_target_"]))[0].keys():
            epochs = before.trainer.max_epochs
            start = [f"name={cfg.name}-2", f"checkpoint={path}/checkpoints/last.ckpt", "optimizer_state=true"]
            raise ConfigError(
                f"{path} is finished, and its scheduler planned the learning rate for {epochs} epochs. Begin a new run with "
                f"its weights and optimizer:\n  {again(*start, f'trainer.max_epochs={cfg.trainer.max_epochs - epochs}')}"
            )


def load_run(run_dir: str | Path | None) -> tuple[DictConfig, dict[str, Any]]:
    """Read the config.yaml and the summary.json of a run; a summary that is damaged counts as empty."""
    path = Path(str(run_dir or ""))
    try:
        cfg = OmegaConf.load(path / "config.yaml")
        if not isinstance(cfg, DictConfig):
            raise YAMLError("config.yaml is not a mapping")
        summary = (path / "summary.json").read_bytes() if (path / "summary.json").exists() else b"{}"
        found = sha256((path / "config.yaml").read_bytes()).hexdigest()
    except (OSError, ValueError, YAMLError) as error:
        raise ConfigError(f"run must be the folder of a run, as run=runs/baseline, got {run_dir}: {error}") from error
    try:
        facts = dict(json.loads(summary))
        if facts.get("config_sha256", found) != found:
            warn(f"{path / 'config.yaml'} is not as the run wrote it: it was edited since")
        return cfg, facts
    except (ValueError, TypeError) as error:
        warn(f"{path / 'summary.json'} is {'damaged' if summary else 'empty'} and what it said is lost ({error})")
        return cfg, {}

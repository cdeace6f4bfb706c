"""What the scripts say before torch is loaded, and how they end: an error that is no bug is one line and exit code 1."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.errors import ConfigError, TrainingError
from <<cookiecutter.package>>.engine.output import guard_output

Job = Callable[[DictConfig], Any]

failed: list[str] = []  # the overrides of the jobs that have failed; one empty text for a single run


def errors_in_one_line(job: Job) -> Job:
    """Return the job of a script that says it has begun, and prints ConfigError and TrainingError without a traceback.

    In a sweep (`-m`) the failed job is named and the others run. Any other exception is a bug and stays what it is.
    """

    @functools.wraps(job)
    def run(cfg: DictConfig) -> Any:
        guard_output()
        if "torch" not in sys.modules and "LOCAL_RANK" not in os.environ:
            print("loading torch ...", flush=True)
        try:
            return job(cfg)
        except (ConfigError, TrainingError) as error:
            name = HydraConfig.get().job.override_dirname if HydraConfig.get().mode == RunMode.MULTIRUN else ""
            failed.append(name)
            print(f"{name}: {error}" if name else error, file=sys.stderr, flush=True)
            return None

    return run


def exit_code() -> int:
    """Return 1 if a job has failed, after naming those of a sweep; else 0."""
    if any(failed):
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))

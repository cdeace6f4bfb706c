"""What a run prints beside its progress: no more than a person can use."""

import functools
import logging
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities import rank_zero_only

UNHELPFUL = (
    ".*does not have many workers.*",  # data in memory needs none
    ".*is smaller than the logging interval.*",  # the epoch's own metrics are logged all the same
    ".*logs directory .* exists and is not empty.*",  # the run folder is made for this run
    ".*module.s. in eval mode at the start of training.*",  # the checks look closer
    ".*LeafSpec.*is deprecated.*",  # Lightning 2.6 on a recent torch
)

SPEAKING = ("callbacks", "profilers", "tuner")  # folders of Lightning that say nothing unasked


def be_quiet() -> None:
    """Hide Lightning's announcements and the warnings that nobody can act on."""
    for library in ("lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(library).handlers:
            handler.addFilter(is_asked_for)
    warnings.filterwarnings("ignore", "|".join(UNHELPFUL))


def is_asked_for(record: logging.LogRecord) -> bool:
    """Say whether a message is a warning, or the answer of something that the config has switched on."""
    return record.levelno >= logging.WARNING or Path(record.pathname).parent.name in SPEAKING


@rank_zero_only
def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


@rank_zero_only
@functools.cache
def warn(text: str) -> None:
    """Print a warning, once."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


@rank_zero_only
def print_result(metrics: dict[str, dict[str, Any]]) -> None:
    """Print each metric with the number of samples behind it."""
    print(f"\n{'metric':<16}{'value':>8}{'samples':>10}")
    for name, metric in metrics.items():
        value = metric["value"]
        shown = f"{float(value):.4f}" if isinstance(value, int | float | str) else "many"  # summary.json has them
        print(f"{name:<16}{shown:>8}{metric['num_samples'] or '?':>10}")


@rank_zero_only
def print_end(summary: dict[str, Any], run_dir: Path) -> None:
    """Print why a run stopped, its best epoch, where it is, and a command to try now."""
    best, stopped = summary.get("best_epoch"), summary.get("stopped", "")
    print(f"\nstopped  {stopped}" + (f"; the best was epoch {best}" if best else ""))
    print(f"run      {run_dir}")
    if best and stopped == f"all {best} epochs":
        changes, why = [f"trainer.max_epochs={2 * best}"], "the last epoch was the best: are more better?"
    else:
        changes, why = ["-m", "seed=1,2,3"], "how much of it is chance?"
    print(f"next     {again(*changes)}  # {why}")


def again(*changes: str) -> str:
    """Return the command line of this run with other values."""
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    changed = ("name=", "checkpoint=last", *(change.partition("=")[0] + "=" for change in changes))
    # what changes comes first: Hydra takes an option such as -m only before the overrides
    return shlex.join(["python", "train.py", *changes, *(word for word in given if not word.startswith(changed))])

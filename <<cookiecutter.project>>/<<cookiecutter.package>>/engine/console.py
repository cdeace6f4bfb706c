"""What a run prints beside its progress: no more than a person can use."""

import logging
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

UNHELPFUL = (
    ".*does not have many workers.*",  # data in memory needs none
    ".*is smaller than the logging interval.*",  # the epoch's own metrics are logged all the same
    ".*logs directory .* exists and is not empty.*",  # the run folder is made for this run
    ".*module.s. in eval mode at the start of training.*",  # the checks look closer
    ".*LeafSpec.*is deprecated.*",  # Lightning 2.6 on a recent torch
)


def be_quiet() -> None:
    """Hide Lightning's announcements and the warnings that nobody can act on."""
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "|".join(UNHELPFUL))


@rank_zero_only
def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


@rank_zero_only
def print_result(metrics: dict[str, dict[str, Any]], run_dir: Path | None = None) -> None:
    """Print each metric with the number of samples behind it, and after a run where it is and what to try now."""
    print(f"\n{'metric':<16}{'value':>8}{'samples':>10}")
    for name, metric in metrics.items():
        print(f"{name:<16}{float(metric['value']):>8.4f}{metric['num_samples'] or '?':>10}")
    if run_dir:
        print(f"\nrun   {run_dir}\nnext  python evaluate.py run={run_dir} split=val")

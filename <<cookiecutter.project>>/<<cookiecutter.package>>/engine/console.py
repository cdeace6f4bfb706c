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
    ".*LeafSpec.*is deprecated.*",  # Lightning 2.6 on a recent torch
)


def be_quiet() -> None:
    """Hide Lightning's announcements and the warnings that nobody can act on."""
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    for message in UNHELPFUL:
        warnings.filterwarnings("ignore", message)


@rank_zero_only
def print_metrics(metrics: dict[str, dict[str, Any]]) -> None:
    """Print one line per metric: name, value, number of samples it was measured on."""
    print(f"\n{'metric':<16}{'value':>8}{'samples':>10}")
    for name, metric in metrics.items():
        print(f"{name:<16}{metric['value']:>8.4f}{metric['num_samples'] or '?':>10}")


@rank_zero_only
def print_next(run_dir: Path) -> None:
    """Print where the run is and what to try now."""
    print(f"\nrun   {run_dir}\nnext  python evaluate.py run={run_dir} split=val")

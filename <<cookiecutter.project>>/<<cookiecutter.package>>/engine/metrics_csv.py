"""metrics.csv: what was logged, a row each time."""

import csv
import os
from io import StringIO
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from <<cookiecutter.package>>.engine.survival.durable_file import cannot_write, replacing, sync


class MetricsCSV(Logger):
    """Write each row as it comes, the columns in the order in which they were first logged.

    Rows that are there are kept; a run that continues from a checkpoint drops those that came after it.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.columns: list[str] = []
        self.size = 0  # bytes of the rows that were written

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> None:
        return None

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"epoch": metrics.get("epoch"), "step": step, **metrics}
        if not row.keys() <= set(self.columns) or not self.path.exists():
            self.add_columns(list(row))
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
                self.size = file.tell()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def add_columns(self, names: list[str]) -> None:
        """Write the file anew, with further columns."""
        rows = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
                rows = list(reader := csv.DictReader(file))
                self.columns = self.columns or list(reader.fieldnames or [])
        self.columns += [name for name in names if name not in self.columns]
        writer = csv.DictWriter(text := StringIO(), self.columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())

    def state_dict(self) -> dict[str, Any]:
        if self.size and rank_zero_only.rank == 0:
            sync(self.path)
        return {"columns": self.columns, "size": self.size}

    @rank_zero_only
    def load_state_dict(self, state: dict[str, Any]) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < state["size"]:
            rank_zero_warn(f"{self.path} has lost {state['size'] - size} bytes of before the checkpoint")
        elif size:
            os.truncate(self.path, state["size"])
            self.columns, self.size = state["columns"], state["size"]

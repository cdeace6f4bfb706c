"""metrics.csv: what was logged, a row each time."""

import csv
import os
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from <<cookiecutter.package>>.engine.durable_file import cannot_write, replacing

Row = dict[str, Any]


class MetricsCSV(Logger):
    """Write each row as it comes, the columns in the order in which they were first logged.

    A run that continues from a checkpoint drops the rows that came after it, so that it repeats none.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.columns: list[str] = []
        self.num_rows = 0
        self.file: TextIO | None = None

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
        new = [name for name in row if name not in self.columns]
        if new or self.file is None:
            self.rewrite(self.columns + new, self.read()[: self.num_rows])
        try:
            csv.DictWriter(self.file, self.columns, lineterminator="\n").writerow(row)
            self.file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.num_rows += 1

    def read(self) -> list[Row]:
        """Return the rows of the file, their values as text."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
            return list(csv.DictReader(file))

    def rewrite(self, columns: list[str], rows: list[Row]) -> None:
        """Replace the file and go on writing at its end."""
        if self.file is not None:
            self.file.close()
        text = StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())
        self.columns = columns
        self.file = self.path.open("a", newline="", encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        if self.file is not None:
            os.fsync(self.file.fileno())
        return {"columns": self.columns, "num_rows": self.num_rows}

    @rank_zero_only
    def load_state_dict(self, state: dict[str, Any]) -> None:
        rows = self.read()[: state["num_rows"]]
        if len(rows) < state["num_rows"]:
            rank_zero_warn(f"{self.path} has lost {state['num_rows'] - len(rows)} rows of before the checkpoint")
        self.num_rows = len(rows)
        if state["columns"]:
            self.rewrite(state["columns"], rows)

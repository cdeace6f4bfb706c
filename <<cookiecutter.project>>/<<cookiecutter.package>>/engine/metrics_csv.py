"""metrics.csv: what was logged, a row each time."""

import csv
import os
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from <<cookiecutter.package>>.engine.survival.durable_file import cannot_write, replacing

Row = dict[str, Any]


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
        self.num_rows: int | None = None  # all that there are
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
        file = self.file
        if file is None or not row.keys() <= set(self.columns):
            columns, rows = self.read()
            columns = self.columns or columns
            file = self.rewrite(columns + [name for name in row if name not in columns], rows[: self.num_rows])
        try:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
            file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.num_rows = (self.num_rows or 0) + 1

    def read(self) -> tuple[list[str], list[Row]]:
        """Return the columns and the rows of the file, the values as text; none when there is no such file."""
        try:
            with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
                reader = csv.DictReader(file)
                return list(reader.fieldnames or []), list(reader)
        except (FileNotFoundError, csv.Error):
            return [], []

    def rewrite(self, columns: list[str], rows: list[Row]) -> TextIO:
        """Replace the file and open it to go on writing at its end."""
        self.finalize()
        text = StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())
        self.columns, self.num_rows = columns, len(rows)
        self.file = self.path.open("a", newline="", encoding="utf-8")
        return self.file

    @rank_zero_only
    def finalize(self, status: str = "") -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def state_dict(self) -> dict[str, Any]:
        if self.file is not None:
            try:
                os.fsync(self.file.fileno())
            except OSError as error:
                raise cannot_write(self.path, error) from error
        return {"columns": self.columns, "num_rows": self.num_rows}

    @rank_zero_only
    def load_state_dict(self, state: dict[str, Any]) -> None:
        rows = self.read()[1][: state["num_rows"]]
        if len(rows) < (state["num_rows"] or 0):
            rank_zero_warn(f"{self.path} has lost {state['num_rows'] - len(rows)} rows of before the checkpoint")
        self.rewrite(state["columns"], rows)

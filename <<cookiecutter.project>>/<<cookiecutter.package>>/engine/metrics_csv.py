"""metrics.csv: what was logged, a row each time."""

import csv
import os
from datetime import datetime
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.survival.durable_file import cannot_write, replacing, sync


class MetricsCSV(Logger):
    """Write each row as it comes, the columns in the order in which they were first logged.

    Rows that are there are kept; a run that continues from a checkpoint drops those that came after it. A file that is
    not as it was written, saved by a spreadsheet for example, is kept under another name and a new one begun.

    Args:
        path: the file.
    """

    name, version = "csv", None  # pyright: ignore  constants, which Lightning asks for as properties

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.columns: list[str] = []
        self.size = self.crc = 0  # bytes that were written, and their checksum

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"epoch": metrics.get("epoch"), "step": step, **metrics}
        try:
            if self.size and self.size != (self.path.stat().st_size if self.path.exists() else 0):
                self.set_aside()
            if not self.size or not row.keys() <= set(self.columns):
                content = self.path.read_bytes() if self.path.exists() else b""
                header = content.decode(errors="replace").partition("\n")[0]
                self.columns = list(dict.fromkeys([*self.columns, *next(csv.reader([header]), []), *row]))
                self.replace(laid_out(content, self.columns))
            line = as_csv([row], self.columns)
            with self.path.open("ab") as file:
                file.write(line)
            self.size, self.crc = self.size + len(line), crc32(line, self.crc)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def replace(self, content: bytes) -> None:
        """Put other content into the file."""
        with replacing(self.path) as file:
            file.write(content)
        self.size, self.crc = len(content), crc32(content)

    def set_aside(self) -> None:
        """Keep a file that is not as it was written, and begin a new one with the next row."""
        self.size = self.crc = 0
        what = "is gone: a new"
        if self.path.exists():
            kept = self.path.rename(f"{self.path}.changed-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
            what = f"is not as this run wrote it: it is kept as {kept.name}, and a new"
        say(f"{self.path} {what} one begins here")

    def state_dict(self) -> dict[str, Any]:
        if self.size and rank_zero_only.rank == 0 and self.path.exists():
            sync(self.path)
        return {"columns": self.columns, "size": self.size, "crc": self.crc}

    @rank_zero_only
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.columns, self.size, self.crc = state["columns"], state["size"], state["crc"]
        if checksum(self.path, self.size) == self.crc:
            _ = self.path.exists() and os.truncate(self.path, self.size)  # what came after the checkpoint is dropped
            return
        # Columns may have come after it too: is it the file without them?
        content = laid_out(self.path.read_bytes() if self.path.exists() else b"", self.columns)[: self.size]
        if crc32(content) == self.crc:
            self.replace(content)
        else:
            self.set_aside()


def checksum(path: Path, size: int) -> int:
    """Return that of the first bytes of a file."""
    crc = 0
    with path.open("rb") if path.exists() else BytesIO() as file:
        while part := file.read(min(size, 2**20)):
            crc, size = crc32(part, crc), size - len(part)
    return crc


def laid_out(content: bytes, columns: list[str]) -> bytes:
    """Return the content of a CSV file with certain columns."""
    rows = csv.DictReader(StringIO(content.decode(errors="replace"), newline=""))
    return as_csv([dict(zip(columns, columns, strict=True)), *rows], columns)


def as_csv(rows: list[dict[str, Any]], columns: list[str]) -> bytes:
    writer = csv.DictWriter(text := StringIO(), columns, extrasaction="ignore", lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue().encode()

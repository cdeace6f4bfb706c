"""Write predictions as they come, to CSV, Parquet or JSON lines, or print them."""

import csv
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

from <<cookiecutter.package>>.engine.errors import ConfigError

pa: Any = None  # without it CSV is written ten times slower
with suppress(ModuleNotFoundError):
    pa = import_module("pyarrow")
    WRITERS = {
        ".csv": import_module("pyarrow.csv").CSVWriter,
        ".parquet": import_module("pyarrow.parquet").ParquetWriter,
    }


class PredictionFile:
    """A table that grows: the source of each sample, what is predicted of it, and why it could not be read.

    Args:
        file: it is written to; None prints a line for each sample.
        ending: .csv, .parquet or .jsonl.
    """

    def __init__(self, file: BinaryIO | None, ending: str) -> None:
        if ending == ".parquet" and pa is None:
            raise ConfigError("output: .parquet needs pyarrow: uv add pyarrow. Or choose .csv or .jsonl")
        self.file, self.ending = file, ending
        self.writer: Any = None

    def write(self, sources: np.ndarray, columns: Mapping[str, np.ndarray], errors: Mapping[int, str]) -> None:
        """Add samples: texts or numbers (N,) of each column, none where there is an error, by its place."""
        failed, why = np.zeros(len(sources), dtype=bool), np.full(len(sources), None)
        failed[[*errors]], why[[*errors]] = True, [*errors.values()]
        if pa and self.ending in (".csv", ".parquet"):
            arrays = {"source": as_arrow(sources)} | {name: as_arrow(x, failed) for name, x in columns.items()}
            table = pa.table(arrays | {"error": as_arrow(why)})
            self.writer = self.writer or WRITERS[self.ending](self.file, table.schema)
            self.writer.write(table)
            return
        names = ["source", *columns, "error"]
        values = zip(*(map(as_plain, column) for column in columns.values()), strict=True)
        rows = [
            dict(zip(names, [as_plain(source), *([None] * len(row) if bad else row), error], strict=True))
            for source, row, bad, error in zip(sources, values, failed, why, strict=True)
        ]
        if self.file is None:
            for row in rows:
                words = (f"{x:.4f}" if isinstance(x, float) else str(x) for x in [*row.values()][1:] if x is not None)
                print(f"{row['source']}:", *words, flush=True)
        elif self.ending == ".jsonl":
            self.file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in rows)
        else:
            writer = csv.DictWriter(text := io.StringIO(), names, lineterminator="\n")
            if self.file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
            self.file.write(text.getvalue().encode())

    def close(self) -> None:
        if self.writer:
            self.writer.close()


def as_arrow(values: np.ndarray, failed: np.ndarray | None = None) -> Any:
    return pa.array(values, pa.string() if values.dtype == object else None, mask=failed)


def as_plain(value: Any) -> Any:
    """Return a text as it is, a whole number as int, and a float32 as the shortest number that is read as the same."""
    return value if isinstance(value, str) else int(value) if isinstance(value, np.integer) else float(str(value))

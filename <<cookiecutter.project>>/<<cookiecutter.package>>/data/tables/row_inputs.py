"""Rows of a CSV or Parquet file as inputs of a model, a part of the file at a time."""

import csv
import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.csv
from pyarrow.parquet import ParquetFile
from torch import Tensor

from <<cookiecutter.package>>.data.inputs import InputBatch, Inputs
from <<cookiecutter.package>>.data.tables.columns import Columns, Standardize
from <<cookiecutter.package>>.engine.errors import ConfigError

from .table_file import OTHERS, PACKED, check_names, unpacked
from .written_numbers import parse

CHUNK_BYTES, CHUNK_ROWS = 2**24, 2**16  # of a CSV and of a Parquet file that are in memory at a time
MISSING = [*pyarrow.csv.ConvertOptions().null_values, "None", "<NA>"]  # as pandas.read_csv takes it
FLAGS = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}


class RowInputs(Inputs):
    """The rows of a table, encoded as those of training; columns that were not used there are left out.

    Args:
        numeric: of Columns.
        categorical: of Columns.
        separator: between two values of a CSV file.
        decimal: what the file writes in 1.5.
        formatted: read $1,200 and 45 % as numbers.
    """

    names = ("numbers", "codes")

    def __init__(
        self,
        *,
        numeric: Mapping[str, Any],
        categorical: Mapping[str, Sequence[str]],
        separator: str = ",",
        decimal: str = ".",
        formatted: bool = False,
    ) -> None:
        super().__init__()
        self.columns = Columns({k: tuple(v) for k, v in numeric.items()}, {k: [*v] for k, v in categorical.items()})
        self.standardize = Standardize(self.columns)
        self.separator, self.decimal, self.formatted = separator, decimal, formatted

    def batches(self, source: str | Sequence[str], batch_size: int) -> Iterator[InputBatch]:
        if not isinstance(source, str) or not Path(source).is_file():
            raise ConfigError(f"input must be one CSV or Parquet file for a model of tables, got {source}")
        first = 1
        try:
            with opened(Path(source)) as file:
                for frame, errors in self.frames(file, f"input={source}"):
                    numbers, codes = self.columns.encode(
                        frame.set_index(np.arange(len(frame)) + first - 1), f"input={source}"
                    )
                    for part in np.array_split(np.arange(len(frame)), -(-len(frame) // batch_size)):
                        rows = slice(part[0], part[-1] + 1)
                        wrong = {
                            place - rows.start: why
                            for place, why in errors.items()
                            if place in range(*rows.indices(len(frame)))
                        }
                        yield InputBatch(first + part, (numbers[rows], codes[rows]), wrong)
                    first += len(frame)
        except (pyarrow.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
            raise ConfigError(f"input={source} cannot be read: {error}") from error

    def frames(self, file: BinaryIO, where: str) -> Iterator[tuple[pd.DataFrame, dict[int, str]]]:
        """Yield some rows at a time of the columns that the model knows, and why some cannot be read, by their place."""
        wanted, wrong = [*self.columns.numeric, *self.columns.categorical], deque[tuple[int, str]]()
        if file.peek(4)[:4] == b"PAR1":  # type: ignore[attr-defined]
            table = ParquetFile(file)
            self.columns.check_names(table.schema_arrow.names, where)
            chunks = table.iter_batches(batch_size=CHUNK_ROWS, columns=wanted)
        else:
            chunks = self.csv_chunks(file, wanted, wrong, where)
        first = 0
        for chunk in chunks:
            errors, places, last = {}, [], first + len(chunk)
            while wrong and wrong[0][0] < last:  # rows that Arrow has left out
                place, why = wrong.popleft()
                errors[place - first], last = why, last + 1
            places = np.delete(np.arange(last - first), [*errors])
            columns = {name: self.values(chunk.column(name), name, places, errors) for name in self.columns.numeric}
            columns |= {name: chunk.column(name).to_pandas() for name in self.columns.categorical}
            frame = pd.DataFrame({name: pd.Series(column).set_axis(places) for name, column in columns.items()})
            yield frame.reindex(np.arange(last - first)) if len(places) < last - first else frame, errors
            first = last

    def csv_chunks(self, file: BinaryIO, wanted: list[str], wrong: deque[tuple[int, str]], where: str) -> Any:
        """Return an iterator over the rows of a CSV file, as texts; `wrong` receives those of another length."""
        start = file.peek(100).lstrip()  # type: ignore[attr-defined]
        if what := [what for magic, what in OTHERS.items() if start.startswith(magic)]:
            raise ConfigError(f"{where} is {what[0]}. Save the table as CSV or Parquet")
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        rows = csv.reader(text, delimiter=self.separator, skipinitialspace=True)
        names = next(filter(None, rows), [])
        check_names(where, names)
        self.columns.check_names(names, where)
        text.detach().seek(0)

        def leave_out(row: Any) -> str:
            found = f"{row.actual_columns} values, but the first line names {row.expected_columns} columns"
            wrong.append((row.number - 1 - rows.line_num, found))
            return "skip"

        return pyarrow.csv.open_csv(
            file,
            pyarrow.csv.ReadOptions(block_size=CHUNK_BYTES, column_names=names, skip_rows=rows.line_num),
            pyarrow.csv.ParseOptions(delimiter=self.separator, newlines_in_values=True, invalid_row_handler=leave_out),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pyarrow.dictionary(pyarrow.int32(), pyarrow.string()))
                | dict.fromkeys(self.columns.numeric, pyarrow.string()),
                include_columns=wanted,
                null_values=MISSING,
                strings_can_be_null=True,
            ),
        )

    def values(self, column: Any, name: str, places: np.ndarray, errors: dict[int, str]) -> np.ndarray:
        """Return the numbers (N,), float64, of a column, NaN where they are missing or wrong; say there what is wrong."""
        texts = None
        try:
            point = pyarrow.compute.replace_substring(column, self.decimal, ".") if self.decimal != "." else column
            found = point.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
        except pyarrow.ArrowException:
            texts = column.to_pandas().astype(object).map(lambda text: str(text).strip(), na_action="ignore")
            found = np.array([self.number(text) for text in texts])
        wrong = np.flatnonzero(np.isinf(found))
        for n in wrong:
            shown = found[n] if texts is None else repr(texts[n])
            errors.setdefault(int(places[n]), f"column {name!r}: {shown} is no number")
        return np.where(np.isinf(found), np.nan, found) if len(wrong) else found

    def number(self, text: Any) -> float:
        """Return the number that a text is, NaN where it is missing, infinity where it is none."""
        if not isinstance(text, str) or text in MISSING:
            return np.nan
        if text in FLAGS:
            return FLAGS[text]
        read = parse(text, self.decimal) if self.formatted else None
        try:
            return read[0] if read else float(text.replace(self.decimal, "."))
        except ValueError:
            return np.inf

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Map numbers (B, C), float64, NaN where missing, and codes (B, K), int64, to what the model was trained on."""
        return self.standardize(raw[0]), raw[1]

    def described(self) -> dict[str, Any]:
        names, categorical = [*self.columns.numeric], self.columns.categorical
        return {
            "numbers": {"dtype": "float64", "shape": ["batch", len(names)], "columns": names, "missing": "NaN"},
            "codes": {"dtype": "int64", "shape": ["batch", len(categorical)], "columns": categorical, "unknown": 0},
        }

    def example(self) -> str:
        row = {name: round(mean, 2) for name, (mean, *_) in self.columns.numeric.items()}
        row |= {name: texts[0] for name, texts in self.columns.categorical.items()}
        return f"""
row = {row}
columns = json.loads(about["inputs"])
numbers = [row.get(name, np.nan) for name in columns["numbers"]["columns"]]
texts = columns["codes"]["columns"].items()  # a category is its place among those of training, from 1; else 0
codes = [known.index(row[name]) + 1 if row.get(name) in known else 0 for name, known in texts]
inputs = {{"numbers": np.array([numbers], dtype=np.float64), "codes": np.array([codes], dtype=np.int64)}}"""


def opened(path: Path) -> BinaryIO:
    """Open a file; one that is compressed is unpacked into memory."""
    file = path.open("rb")
    if not any(file.peek(8).startswith(magic) for magic in PACKED):
        return file
    with file:
        return io.BufferedReader(io.BytesIO(unpacked(file.read())))  # type: ignore[arg-type]

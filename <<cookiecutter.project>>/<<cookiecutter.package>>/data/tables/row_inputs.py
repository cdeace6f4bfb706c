"""Rows of a CSV or Parquet file as inputs of a model, a part of the file at a time."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv
from pyarrow.parquet import ParquetFile
from torch import Tensor

from <<cookiecutter.package>>.data.inputs import InputBatch, Inputs
from <<cookiecutter.package>>.data.tables.columns import Columns, Standardize
from <<cookiecutter.package>>.engine.errors import ConfigError

from .table_file import PACKED, check_names, unpacked
from .written_numbers import parse

CHUNK_BYTES, CHUNK_ROWS = 2**24, 2**16  # of a CSV and of a Parquet file, in memory at a time
MISSING = [*ConvertOptions().null_values, "None", "<NA>"]  # what pandas.read_csv takes for it
FLAGS = {"True": 1, "TRUE": 1, "true": 1, "False": 0, "FALSE": 0, "false": 0}


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
        where, first, wrong = f"input={source}", 1, dict[int, str]()
        if not isinstance(source, str) or not Path(source).is_file():
            raise ConfigError(f"{where}: a model of tables takes one CSV or Parquet file")
        try:
            for chunk in chain(self.chunks(Path(source), where, wrong), [None]):
                frame, errors = self.frame(chunk, first, wrong)
                if not len(frame):
                    continue
                numbers, codes = self.columns.encode(frame, where)
                for rows in np.array_split(np.arange(len(frame)), -(-len(frame) // batch_size)):
                    part = slice(rows[0], rows[-1] + 1)
                    failed = {n: errors[row] for n, row in enumerate(first + rows) if row in errors} if errors else {}
                    yield InputBatch(first + rows, (numbers[part], codes[part]), failed)
                first += len(frame)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise ConfigError(f"{where} cannot be read: {error}") from error

    def chunks(self, path: Path, where: str, wrong: dict[int, str]) -> Iterable[pa.RecordBatch]:
        """Return an iterator over the columns that the model knows, those of a CSV file as texts.

        `wrong` receives why a row of a CSV file is left out, by its number, before the rows around it are served.
        """
        with path.open("rb") as file:
            content = unpacked(file.read()) if file.peek(8).startswith(tuple(PACKED)) else None
            start = content or file.read(2**20)
        stored = pa.BufferReader(content) if content else pa.OSFile(str(path))
        types = dict.fromkeys(self.columns.numeric, pa.string())
        types |= dict.fromkeys(self.columns.categorical, pa.dictionary(pa.int32(), pa.string()))
        if start.startswith(b"PAR1"):
            table = ParquetFile(stored)
            self.columns.check_names(table.schema_arrow.names, where)
            return table.iter_batches(CHUNK_ROWS, columns=[*types])
        text = io.TextIOWrapper(io.BytesIO(start), "utf-8-sig", errors="replace", newline="")
        lines = csv.reader(text, delimiter=self.separator, skipinitialspace=True)
        names = next(filter(None, lines), [])
        check_names(where, names)
        self.columns.check_names(names, where)

        def leave_out(row: Any) -> str:
            wrong[row.number - lines.line_num] = f"{row.actual_columns} values for {row.expected_columns} columns"
            return "skip"

        return open_csv(
            stored,
            ReadOptions(block_size=CHUNK_BYTES, column_names=names, skip_rows=lines.line_num),
            ParseOptions(delimiter=self.separator, newlines_in_values=True, invalid_row_handler=leave_out),
            ConvertOptions(column_types=types, include_columns=[*types], null_values=MISSING, strings_can_be_null=True),
        )

    def frame(
        self, chunk: pa.RecordBatch | None, first: int, wrong: dict[int, str]
    ) -> tuple[pd.DataFrame, dict[int, str]]:
        """Return the rows from number `first` on, also those left out, and why some cannot be read, by number."""
        count = chunk.num_rows if chunk else 0
        present = np.arange(first, first + count + len(wrong))
        present = present[~np.isin(present, [*wrong])][:count] if wrong else present
        end = present[-1] + 1 if count else max(wrong, default=first - 1) + 1
        errors = {number: wrong.pop(number) for number in sorted(wrong) if number < end}
        columns = {name: pd.Series(dtype=object) for name in (*self.columns.numeric, *self.columns.categorical)}
        if chunk:
            columns = {name: self.numbers(chunk.column(name), name, present, errors) for name in self.columns.numeric}
            columns |= {name: chunk.column(name).to_pandas() for name in self.columns.categorical}
        frame = pd.DataFrame(columns).set_index(present - 1)
        return frame if count == end - first else frame.reindex(np.arange(first - 1, end - 1)), errors

    def numbers(self, column: pa.Array, name: str, rows: np.ndarray, errors: dict[int, str]) -> np.ndarray:
        """Return the numbers (N,), float64, of a column, NaN where there is none; say there what is wrong."""
        try:
            found = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            wrong, texts = np.isinf(found), found
        except pa.ArrowException:
            texts = column.to_pandas().astype(object).astype(str).str.strip().mask(column.is_null().to_numpy(False))
            read = {text: parse(text, self.decimal) for text in texts.dropna().unique()} if self.formatted else {}
            known = FLAGS | {text: value[0] for text, value in read.items() if value}
            point = str.maketrans({self.decimal: ".", ".": self.decimal})
            found = pd.to_numeric(
                texts.map(lambda text: known.get(text, text.translate(point)), na_action="ignore"), errors="coerce"
            )
            found = np.asarray(found, dtype=np.float64)
            wrong = np.isinf(found) | (np.isnan(found) & texts.notna() & ~texts.isin(MISSING)).to_numpy()
        for n in np.flatnonzero(wrong):
            errors.setdefault(int(rows[n]), f"column {name!r}: {texts[n]} is no number")
        return np.where(wrong, np.nan, found) if wrong.any() else found

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Map numbers (B, C), float64, NaN where missing, and codes (B, K), int64, to what the model was trained on."""
        return self.standardize(raw[0]), raw[1]

    def described(self) -> dict[str, Any]:
        numbers = {"dtype": "float64", "columns": [*self.columns.numeric], "missing": "NaN"}
        codes = {"dtype": "int64", "columns": self.columns.categorical, "code": "place of the text from 1, else 0"}
        return {"numbers": numbers, "codes": codes}

    def example(self) -> str:
        row = {name: round(mean, 2) for name, (mean, *_) in self.columns.numeric.items()}
        row |= {name: texts[0] for name, texts in self.columns.categorical.items()}
        return f"""row = {row}
columns = json.loads(about["inputs"])
numbers = [row.get(name, np.nan) for name in columns["numbers"]["columns"]]
known = columns["codes"]["columns"]  # the code of a text is its place in training, from 1; of any other text 0
codes = [texts.index(row[name]) + 1 if row.get(name) in texts else 0 for name, texts in known.items()]
inputs = {{"numbers": np.array([numbers], dtype=np.float64), "codes": np.array([codes], dtype=np.int64)}}"""

"""Read a table from a CSV or Parquet file, or say what is wrong with the file and in which line."""

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv
from pyarrow.parquet import ParquetFile

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import TEXT, categories
from .written_numbers import parse_all

OTHERS = {b"\xd0\xcf\x11\xe0": "an Excel workbook", b"ARROW1": "a Feather file", b"<": "HTML or XML", b"{": "JSON"}
OTHERS |= {b"[{": "JSON", b"%PDF": "a PDF", b"version https://git-lfs": "a pointer of Git LFS: git lfs pull"}
NO_LABELS = ("", "nan", "NaN", "<NA>", "#N/A")  # NA, None and null may be the name of a class
LARGE = 2**28  # bytes, which take seconds to read
# A byte order mark is no part of the first name; a column has the same type in all parts of the file.
CSV: dict[str, Any] = {"encoding": "utf-8-sig", "skipinitialspace": True, "index_col": False, "low_memory": False}


def read_table(
    key: str, path: str, separator: str, decimal: str, formatted: bool, text: Collection[str], labels: str | None = None
) -> pd.DataFrame:
    """Return the rows of a file, its columns named by strings; an index that was saved is a column.

    Empty values are missing, and so are NA, NaN, null and the others that `pandas.read_csv` takes for it.

    Args:
        key: of the config that names the file, for messages.
        path: of a CSV or Parquet file, as its first bytes say, which may be compressed.
        separator: between two values of a CSV file.
        decimal: what the file writes in 1.5.
        formatted: read $1,200 and 45 % as numbers.
        text: columns that stay as they are written: 01 is not 1.
        labels: a column of classes, which stays as it is written, also NA, None and null.

    Raises:
        ConfigError: the file is missing, damaged, empty, or not such a table.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{key} must be a CSV or Parquet file, {path} is none (from {Path.cwd()})")
    if (size := file.stat().st_size) > LARGE:
        say(f"reading {key}={path}, {size / 1e9:.1f} GB ...")
    try:
        content = unpacked(file.read_bytes())
        if content.startswith(b"PAR1"):
            frame = read_parquet(content)
        else:
            columns = {"dtype": dict.fromkeys({*text} - {labels}, str), "converters": {labels: "={}".format}}
            options = {"sep": separator, "decimal": decimal, **columns, **CSV}
            frame = read_csv(f"{key}={path}", path, content, options)
            if labels in frame:  # =NA is not missing
                frame[labels] = frame[labels].str[1:].mask(lambda written: written.isin(NO_LABELS))
    except ConfigError:
        raise
    except Exception as error:  # whatever pandas, Arrow or a decompressor makes of damaged bytes
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"{key}={path} cannot be read: {reason}. Is it whole, and what its name says?") from error
    frame.columns = frame.columns.map(str)
    check_names(f"{key}={path}", [*frame.columns])
    if frame.empty:
        raise ConfigError(f"{key}={path} has no rows")
    for name in frame.columns.difference([*text, labels]) if formatted else ():
        if pd.api.types.infer_dtype(frame[name], skipna=True) in TEXT:
            texts = categories(frame[name])  # type: ignore[arg-type]
            if found := parse_all([*texts.categories], decimal):
                frame[name] = np.array([*found, np.nan])[texts.codes]
    return frame


def unpacked(content: bytes) -> bytes:
    """Return the content of a file, by its first bytes also of one that is compressed."""
    unpack = next((unpack for magic, unpack in PACKED.items() if content.startswith(magic)), bytes)
    return unpack(content)


def unzip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.startswith("__MACOSX") and not name.endswith("/")]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files, as an Excel workbook or an archive: {', '.join(names[:3])}")
        return archive.read(names[0])


PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress, b"PK\x03\x04": unzip}
PACKED[b"\x28\xb5\x2f\xfd"] = lambda content: pyarrow.CompressedInputStream(io.BytesIO(content), "zstd").read()


def read_parquet(content: bytes) -> pd.DataFrame:
    """Return the rows, texts as codes of categories without an order."""
    rows = ParquetFile(io.BytesIO(content)).read().replace_schema_metadata()
    texts = [field.name for field in rows.schema if field.type in (pyarrow.string(), pyarrow.large_string())]
    frame = rows.to_pandas(categories=texts)
    for name in frame.select_dtypes("category"):
        frame[name] = frame[name].cat.as_unordered()
    return frame


def read_csv(where: str, path: str, content: bytes, options: dict[str, Any]) -> pd.DataFrame:
    """Return the rows; ConfigError unless the file is UTF-8 and each line has as many values as the first one has names.

    pandas would fill up short lines, and rename one of two columns of the same name.
    """
    start, separator = content[:100].lstrip(), options["sep"]
    if what := [what for magic, what in OTHERS.items() if start.startswith(magic)]:
        raise ConfigError(f"{where} is {what[0]}. Save the table as CSV or Parquet")
    csv.field_size_limit(2**31 - 1)  # of characters in a value
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        names = next(filter(None, rows), [])
        check_names(where, names)
        if len(names) == 1:
            others = [other for other in (";", "\t", "|", ",") if other in names[0]]
            hint = f". Try 'data.separator={json.dumps(others[0])}'" if others else ""
            raise ConfigError(f"{where} has one column with data.separator={separator!r}: {names[0]:.60}{hint}")
        for row in () if is_even(content, separator) else rows:
            if row and len(row) != len(names):
                found = f"{len(row)} values, but the first line names {len(names)} columns"
                hint = "Is the file whole, and each value with a separator, quote or line break in quotes?"
                raise ConfigError(f"{where}, line {rows.line_num}: {found}. {hint}")
        return pd.read_csv(io.BytesIO(content), **options)
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "CP1252"
        found = f"is not UTF-8 (byte {error.object[error.start]:#x}). If it is text, it may be {encoding}, as Excel writes it"
        hint = f"save it as UTF-8: iconv -f {encoding} -t UTF-8 {path} > utf8.csv"
        raise ConfigError(f"{where} {found}; {hint}") from error


def is_even(content: bytes, separator: str) -> bool:
    """Say whether all lines have as many values, in a tenth of the time of Python; False where Arrow cannot tell."""
    if b' "' in content:  # spaces before a quote are no part of the value, and Arrow takes them for it
        return False
    names = ReadOptions(use_threads=False, autogenerate_column_names=True)
    lines = ParseOptions(delimiter=separator, newlines_in_values=True)
    first = ConvertOptions(include_columns=["f0"], column_types={"f0": pyarrow.binary()})
    try:
        return all(batch is not None for batch in open_csv(io.BytesIO(content), names, lines, first))
    except ValueError:  # ArrowInvalid is one
        return False


def check_names(where: str, names: list[str]) -> None:
    """Raise ConfigError unless there are columns, and no two of the same name."""
    if not names:
        raise ConfigError(f"{where} is empty")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ConfigError(f"{where} has two columns of the same name: {', '.join(twice)}. Rename or remove one")

"""Read a table from a CSV or Parquet file, or say what is wrong with the file and in which line."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow
from pyarrow.parquet import ParquetFile

from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import TEXT, coded
from .written_numbers import parse_all

# What a file is, by its first bytes: names lie.
PARQUET = b"PAR1"
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
ZIP, ZSTANDARD = b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
OTHERS = {b"\xd0\xcf\x11\xe0": "an Excel workbook", b"ARROW1": "an Arrow (Feather) file", b"ORC": "an ORC file"}
OTHERS |= {b"SQLite": "a database", b"\x89HDF": "an HDF5 file", b"%PDF": "a PDF document"}
OTHERS |= {
    b"<": "HTML or XML",
    b"{": "JSON",
    b"[{": "JSON",
    b"version https://git-lfs": "a pointer of Git LFS (git lfs pull)",
}

NO_LABELS = ("", "nan", "NaN", "<NA>", "#N/A")  # NA, None and null may be the name of a class


def read_table(
    key: str,
    path: str,
    *,
    separator: str,
    decimal: str,
    formatted_numbers: bool = False,
    text: Iterable[str] = (),
    labels: str | None = None,
) -> pd.DataFrame:
    """Return the rows of a file, its columns named by strings; the index of a data frame is a column of a Parquet file.

    Empty values are missing, and so are NA, NaN, null and the others that `pandas.read_csv` takes for it.

    Args:
        key: of the config that names the file, for messages.
        path: of a CSV or Parquet file, as its content says, which may be compressed.
        separator: between two values of a CSV file.
        decimal: what the file writes in 1.5.
        formatted_numbers: read $1,200 and 45 % as numbers.
        text: columns that stay as they are written: 01 is not 1.
        labels: a column of classes, which stays as it is written; NA, None and null are classes.

    Raises:
        ConfigError: the file is missing, damaged, empty, or not such a table.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{key} must be a CSV or Parquet file, {path} is none (from {Path.cwd()})")
    as_written = dict.fromkeys(text, str)
    as_written.pop(labels, None)
    try:
        with unpacked(key, file) as stream:
            start = stream.read(100)
            stream.seek(0)
            if start.startswith(PARQUET):
                frame = ParquetFile(stream).read().to_pandas(ignore_metadata=True)
            else:
                if what := [what for magic, what in OTHERS.items() if start.lstrip().startswith(magic)]:
                    raise ConfigError(f"{key}={path} is {what[0]}: save the table as CSV or Parquet")
                check_lines(key, file, stream, separator)
                stream.seek(0)
                frame = pd.read_csv(
                    stream,
                    sep=separator,
                    decimal=decimal,
                    dtype=as_written,
                    converters={labels: str} if labels else None,
                    encoding="utf-8-sig",  # a byte order mark is no part of the first name
                    skipinitialspace=True,
                    index_col=False,
                    low_memory=False,  # else a column may have one type in its first part and another one below
                )
    except ConfigError:
        raise
    except Exception as error:  # whatever pandas, Arrow or a decompressor makes of damaged bytes
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"{key}={path} cannot be read: {reason}. Is it whole, and what its name says?") from error
    frame.columns = frame.columns.map(str)
    if twice := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise ConfigError(f"{key}={path} has two columns of the same name: {', '.join(twice)}. Rename or remove one")
    if frame.empty:
        raise ConfigError(f"{key}={path} has no rows")
    if labels in frame:
        frame[labels] = frame[labels].mask(frame[labels].isin(NO_LABELS))
    return read_formatted(frame, {*as_written, labels}, decimal) if formatted_numbers else frame


def read_formatted(frame: pd.DataFrame, but: set[str | None], decimal: str) -> pd.DataFrame:
    """Make numbers of each column of texts that are all numbers as people write them."""
    for name in frame.columns:
        if name not in but and pd.api.types.infer_dtype(frame[name], skipna=True) in TEXT:
            codes, texts = coded(frame[name])
            if numbers := parse_all(texts, decimal):
                frame[name] = np.array([*numbers, np.nan])[codes]
    return frame


def unpacked(key: str, file: Path) -> BinaryIO:
    """Open a file; of one that is compressed, what it holds."""
    with file.open("rb") as stream:
        start = stream.read(6)
    if start.startswith(ZSTANDARD):
        return io.BytesIO(pyarrow.input_stream(str(file), compression="zstd").read())
    if start.startswith(ZIP):
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX") and not name.endswith("/")]
            if len(names) == 1:
                return io.BytesIO(archive.read(names[0]))
        what = "an Excel workbook" if "xl/workbook.xml" in names else f"an archive of {len(names)} files"
        raise ConfigError(f"{key}={file} is {what}, not one table: save the table as CSV or Parquet")
    for magic, opener in PACKED.items():
        if start.startswith(magic):
            with opener(file) as stream:
                return io.BytesIO(stream.read())
    return file.open("rb")


def check_lines(key: str, file: Path, stream: BinaryIO, separator: str) -> None:
    """Raise ConfigError unless the file is UTF-8 and each line has as many values as the first one has names.

    pandas would fill up short lines, and rename one of two columns of the same name.
    """
    csv.field_size_limit(2**31 - 1)  # a field of any length
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        names = next(filter(None, rows), [])
        check_names(key, file, names, separator)
        for row in rows:
            if row and len(row) != len(names):
                raise ConfigError(
                    f"{key}={file}, line {rows.line_num}: {len(row)} values, but the first line names {len(names)} "
                    "columns. Is the file whole, and each value with a separator, quote or line break in quotes?"
                )
    except UnicodeDecodeError as error:
        stream.seek(0)
        encoding = "UTF-16" if stream.read(2) in (b"\xff\xfe", b"\xfe\xff") else "CP1252"
        raise ConfigError(
            f"{key}={file} is not UTF-8 (byte {error.object[error.start]:#x}). If it is text, it may be {encoding}, as "
            f"Excel writes it; save it as UTF-8: iconv -f {encoding} -t UTF-8 {file} > utf8.csv"
        ) from error
    finally:
        lines.detach()  # else the stream is closed with it


def check_names(key: str, file: Path, names: list[str], separator: str) -> None:
    """Raise ConfigError unless the first line holds several names, each of them once."""
    if not names:
        raise ConfigError(f"{key}={file} is empty")
    if len(names) == 1:
        others = [shown for other, shown in {";": ";", "\t": "\\t", "|": "|", ",": ","}.items() if other in names[0]]
        hint = f". Try 'data.separator=\"{others[0]}\"'" if others else ""
        raise ConfigError(f"{key}={file} has one column with data.separator={separator!r}: {names[0]:.60}{hint}")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ConfigError(f"{key}={file} has two columns of the same name: {', '.join(twice)}. Rename or remove one")

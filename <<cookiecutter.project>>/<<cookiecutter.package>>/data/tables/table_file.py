"""Read a table from a CSV or Parquet file, or say what is wrong with the file and in which line."""

import csv
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from <<cookiecutter.package>>.engine.errors import ConfigError

PARQUET, CSV = (".parquet", ".pq"), (".csv", ".tsv", ".txt")


def read_table(key: str, path: str, *, separator: str, decimal: str, text: Iterable[str] = ()) -> pd.DataFrame:
    """Return the rows of a file, its columns named by strings.

    Empty values are missing, and so are NA, NaN, null and the others that `pandas.read_csv` takes for it.

    Args:
        key: of the config that names the file, for messages.
        path: of a file whose ending says what it is.
        separator: between two values of a CSV file.
        decimal: what a CSV file writes in 1.5.
        text: columns of a CSV file that stay as they are written: 01 is not 1.

    Raises:
        ConfigError: the file is missing, damaged, empty, or not such a table.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{key} must be a {' or '.join(CSV + PARQUET)} file, {path} is none (from {Path.cwd()})")
    if file.suffix.lower() not in CSV + PARQUET:
        raise ConfigError(f"{key} must end in {', '.join(CSV + PARQUET)}, got {path}")
    try:
        if file.suffix.lower() in PARQUET:
            frame = pd.read_parquet(file)
        else:
            check_lines(key, file, separator)
            frame = pd.read_csv(
                file,
                sep=separator,
                decimal=decimal,
                dtype=dict.fromkeys(text, str),
                encoding="utf-8-sig",  # a byte order mark is no part of the first name
                skipinitialspace=True,
                index_col=False,
                low_memory=False,  # else a column may have one type in its first part and another one below
            )
    except ConfigError:
        raise
    except (OSError, ValueError, csv.Error) as error:  # Arrow's and pandas' errors are ValueErrors
        reason = str(error).rstrip(".")
        raise ConfigError(f"{key}={path} cannot be read: {reason}. Is it whole, and what its name says?") from error
    frame.columns = frame.columns.map(str)
    if twice := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise ConfigError(f"{key}={path} has two columns of the same name: {', '.join(twice)}. Rename or remove one")
    if frame.empty:
        raise ConfigError(f"{key}={path} has no rows")
    return frame


def check_lines(key: str, file: Path, separator: str) -> None:
    """Raise ConfigError unless the file is UTF-8 and each line has as many values as the first one has names.

    pandas would fill up short lines, and rename one of two columns of the same name.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
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
        with file.open("rb") as content:
            encoding = "UTF-16" if content.read(2) in (b"\xff\xfe", b"\xfe\xff") else "CP1252"
        raise ConfigError(
            f"{key}={file} is not UTF-8 (byte {error.object[error.start]:#x}). If it is text, it may be {encoding}, as "
            f"Excel writes it; save it as UTF-8: iconv -f {encoding} -t UTF-8 {file} > utf8.csv"
        ) from error


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

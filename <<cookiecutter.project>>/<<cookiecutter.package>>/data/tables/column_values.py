"""The values of a column of a table: as numbers, or as codes of texts."""

import re

import numpy as np
import pandas as pd

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .written_numbers import how_to_read

# What pandas.api.types.infer_dtype calls the values of a column.
NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")
TEXT = ("string", "categorical", "empty")

NAMED = 5  # values named in a message


def is_numeric(column: pd.Series, where: str) -> bool:
    """Say whether a column holds numbers or flags, or else texts.

    Raises:
        ConfigError: it holds neither.
    """
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind not in NUMBERS + TEXT:
        raise ConfigError(
            f"{where}, column {column.name!r} holds neither numbers nor texts ({kind}): write what matters in it as "
            f"numbers (of a date: year, month, days since a day), or leave it out with 'data.drop=[\"{column.name}\"]'"
        )
    return kind in NUMBERS


def numbers(column: pd.Series, where: str) -> np.ndarray:
    """Return the numbers (N,), float64, of a column, NaN where they are missing."""
    if not pd.api.types.is_numeric_dtype(column):
        column = column.astype(object)
    values = pd.Series(pd.to_numeric(column, errors="coerce")).to_numpy(dtype=np.float64, na_value=np.nan)
    if len(other := column[np.isnan(values) & column.notna().to_numpy()]):
        shown = f"{', '.join(map(repr, other.unique()[:NAMED]))} ({named_rows(other.index)})"
        how = how_to_read([*map(str, other.unique())])
        raise ConfigError(
            f"{where}, column {column.name!r} holds {len(other)} values that are no numbers: {shown}. {how}"
        )
    if len(infinite := column.index[np.isinf(values)]):
        rows = f"{len(infinite)} rows ({named_rows(infinite)})"
        raise ConfigError(
            f"{where}, column {column.name!r} is infinite in {rows}: correct them, or leave the value empty"
        )
    return values


def named_rows(index: pd.Index) -> str:
    """Return the numbers that the first of some rows have in their file."""
    return f"row {', '.join(str(row + 1) for row in index[:NAMED])}, from 1"


def coded(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return which of the texts (N,) of a column each row has, -1 where it is missing, and the texts in order.

    1, 1.0 and "1" are one text: a column of integers becomes one of floats when a value is missing.
    """
    codes, values = pd.factorize(column)
    texts = [re.sub(r"^([+-]?\d+)\.0+$", r"\1", str(value).strip()) for value in values]
    ordered = sorted(set(texts) - {""}, key=lambda text: (as_number(text) is None, as_number(text) or 0.0, text))
    place = {text: number for number, text in enumerate(ordered)}
    return np.array([*(place.get(text, -1) for text in texts), -1])[codes], ordered


def say_alike(column: pd.Series, where: str) -> None:
    """Say which texts of a column differ only in case, in space or in their Unicode form."""
    texts = pd.Series(column.dropna().unique()).astype(str)
    keys = texts.str.normalize("NFKC").str.casefold().str.replace(r"\s+", "", regex=True)
    for group in [group for _, group in texts.groupby(keys) if len(group) > 1][:NAMED]:
        say(f"{where}: {' and '.join(map(repr, group))} differ only in case or space; write them alike if they are one")


def as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def counted(counts: dict[str, int]) -> str:
    """Return the most frequent texts, each with the number of its rows."""
    most = sorted(counts, key=lambda text: -counts[text])
    return ", ".join(f"{text} ({counts[text]})" for text in most[:NAMED]) + (", ..." if len(most) > NAMED else "")

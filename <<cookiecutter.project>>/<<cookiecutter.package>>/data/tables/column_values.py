"""The values of a column of a table: as numbers, or as codes of texts."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .written_numbers import how_to_read

# What pandas.api.types.infer_dtype calls the values of a column.
NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")
TEXT = ("string", "categorical", "empty")

NAMED = 5  # values named in a message

# Numbers that nobody can mean: 1e30 among ages, or -999 where nothing was measured.
FAR = 500  # times the width of what is usual: beyond it a number is a slip, a sentinel or an overflow
RARE = 0.05  # share of the numbers that may be so far away; if there are more, they are usual
WIDEST = (-1e35, 1e35)  # what is far from it does not fit into a float32
# What stands for "missing" in many files, where it is not among the usual numbers.
FILLS = [-int(digit * count) for digit in "789" for count in range(2, 10)] + [10**count - 1 for count in range(3, 10)]
FILLS += [-99.9, -99.99, -999.9, -999.99, 999.9, -9999.9, 32767, 65535, -32768, 2**31 - 1, 2**32 - 1, -(2**31)]


def is_numeric(column: pd.Series, where: str) -> bool:
    """Say whether a column holds numbers or flags, or else texts.

    Raises:
        ConfigError: it holds neither.
    """
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind not in NUMBERS + TEXT:
        found = f"{where}, column {column.name!r} holds neither numbers nor texts ({kind})"
        ways = f"Write what matters in it as numbers (year, month, ...), or leave it out with 'data.drop=[\"{column.name}\"]'"
        raise ConfigError(f"{found}. {ways}")
    return kind in NUMBERS


def numbers(column: pd.Series, where: str) -> np.ndarray:
    """Return the numbers (N,), float64, of a column, NaN where they are missing."""
    if not pd.api.types.is_numeric_dtype(column):
        column = column.astype(object)
    values = pd.Series(pd.to_numeric(column, errors="coerce")).to_numpy(dtype=np.float64, na_value=np.nan)
    found = f"{where}, column {column.name!r}"
    if column.dtype != np.float64 and len(other := column[np.isnan(values) & column.notna().to_numpy()]):
        texts = [*map(str, other.unique())]
        shown = f"{', '.join(map(repr, texts[:NAMED]))} ({named_rows(other.index)})"
        raise ConfigError(f"{found} holds {len(other)} values that are no numbers: {shown}. {how_to_read(texts)}")
    if len(infinite := column.index[np.isinf(values)]):
        rows = f"{len(infinite)} rows ({named_rows(infinite)})"
        raise ConfigError(f"{found} is infinite in {rows}: correct them, or leave the value empty")
    return values


def usual_range(values: np.ndarray, outliers: str) -> tuple[float, float]:
    """Return the least and the greatest of the numbers (N,) that can be meant, or the widest range to "keep" all."""
    usual = values[~np.isnan(values) & ~np.isin(values, FILLS)]
    if not len(usual) or outliers == "keep":
        return WIDEST
    distances = np.abs(usual - np.median(usual))
    few = min(np.count_nonzero(distances), 1 + max(1, int(RARE * len(usual))))
    far = np.sort(np.partition(distances, -few)[-few:])  # the greatest
    if len(gaps := np.flatnonzero(far[1:] / (2 * FAR + 1) > far[:-1])):
        usual = usual[distances <= far[gaps[0]]]
    low, high = np.clip([usual.min(), usual.max()], *WIDEST)
    return float(low), float(high)


def is_odd(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return which of the numbers (N,) are too far from the usual ones to be meant."""
    width = (high - low) or abs(high) or 1.0
    beyond = np.maximum(low - values, values - high)
    odd = beyond > 0
    if odd.any():  # it takes time
        is_fill = np.isin(values, FILLS) & ((beyond > width) | ((values < 0) & (low >= 0)))
        odd &= is_fill | (beyond > FAR * width)
    return odd


def without_odd(values: np.ndarray, low: float, high: float, column: pd.Series, where: str) -> np.ndarray:
    """Return the numbers (N,) of a column, NaN for those that cannot be meant, and name these."""
    odd = is_odd(values, low, high)
    if len(rows := np.flatnonzero(odd)):
        cells = ", ".join(f"{values[n]:.10g} in row {column.index[n] + 1}" for n in rows[:NAMED])
        why = f"cannot be meant where {low:g} to {high:g} is usual: {len(rows)} taken as missing"
        say(f"{where}, column {column.name!r}: {cells} {why}. Correct them, or set data.outliers=keep")
    return np.where(odd, np.nan, values)


def named_rows(index: pd.Index) -> str:
    """Return the numbers that the first of some rows have in their file."""
    return f"row {', '.join(str(row + 1) for row in index[:NAMED])}, from 1"


def categories(column: pd.Series) -> pd.Categorical:
    """Return the texts (N,) of a column, with those that occur in order; for some of its rows, those of all.

    1, 1.0 and "1" are one text: a column of integers becomes one of floats when a value is missing.
    """
    if getattr(column.dtype, "ordered", False):  # made here before
        return column.array  # type: ignore[return-value]
    codes, values = pd.factorize(column)
    texts = [re.sub(r"^([+-]?\d+)\.0+$", r"\1", str(value).strip()) for value in values]
    found = {text: as_number(text) for text in texts if text}
    ordered = sorted(found, key=lambda text: (found[text] is None, found[text] or 0.0, text))
    return pd.Categorical([text or None for text in texts], ordered, ordered=True).take(codes, allow_fill=True)


def codes_of(texts: pd.Categorical, known: Sequence[str]) -> tuple[np.ndarray, pd.Series]:
    """Return the place (N,) of each text among those known, -1 for none, and how often each one occurs that is not."""
    codes = texts.set_categories([*known]).codes
    return codes, texts[(codes < 0) & (texts.codes >= 0)].remove_unused_categories().value_counts()


def say_alike(column: pd.Series, where: str) -> None:
    """Say which texts of a column differ only in case, in space or in their Unicode form."""
    texts = pd.Series(column.dropna().unique()).astype(str)
    keys = texts.str.normalize("NFKC").str.casefold().str.replace(r"\s+", "", regex=True)
    alike = texts[keys.duplicated(keep=False)]
    for _, group in [*alike.groupby(keys)][:NAMED]:
        say(f"{where}: {' and '.join(map(repr, group))} differ only in case or space; write them alike if they are one")


def as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def counted(counts: pd.Series) -> str:
    """Return the most frequent texts, each with the number of its rows."""
    most = counts.sort_values(ascending=False).head(NAMED)
    return ", ".join(f"{text} ({count})" for text, count in most.items()) + ", ..." * (len(counts) > NAMED)

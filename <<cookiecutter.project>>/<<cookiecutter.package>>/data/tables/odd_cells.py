"""Numbers in a column that nobody can mean: 1e30 among ages, or -999 where nothing was measured."""

import numpy as np
import pandas as pd

from <<cookiecutter.package>>.engine.console import say

from .column_values import NAMED

FAR = 500  # times the width of what is usual: beyond it a number is a slip, a sentinel or an overflow
RARE = 0.05  # share of the numbers that may be so far away; if there are more, they are usual
WIDEST = (-1e35, 1e35)  # what is far from it does not fit into a float32
# What stands for "missing" in many files, where it is not among the usual numbers.
FILLS = [-int(digit * count) for digit in "789" for count in range(2, 10)] + [10**count - 1 for count in range(3, 10)]
FILLS += [-99.9, -99.99, -999.9, -999.99, 999.9, -9999.9, 32767, 65535, -32768, 2**31 - 1, 2**32 - 1, -(2**31)]


def usual_range(values: np.ndarray, outliers: str) -> tuple[float, float]:
    """Return the least and the greatest of the numbers (N,) that can be meant, or the widest range to "keep" all."""
    usual = values[~np.isnan(values) & ~np.isin(values, FILLS)]
    if not len(usual) or outliers == "keep":
        return WIDEST
    distances = np.abs(usual - np.median(usual))
    rest = distances[distances > 0]
    few = min(len(rest), 1 + max(1, int(RARE * len(usual))))
    far = np.sort(np.partition(rest, -few)[-few:]) if few else rest  # the greatest
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

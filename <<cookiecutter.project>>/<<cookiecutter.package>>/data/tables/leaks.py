"""Columns of a table that tell the target by themselves, as what is known only after the target does."""

import numpy as np
import pandas as pd

from <<cookiecutter.package>>.engine.console import say

SAMPLE = 10_000  # rows that are looked at first


def check_leaks(features: pd.DataFrame, target: pd.Series, where: str) -> None:
    """Say which columns tell the target (N,) of every row, a number or the number of a class, without the others."""
    first = slice(None, None, 1 + len(features) // SAMPLE)
    for name, column in features.items():
        if all(tells(column.iloc[rows], target.to_numpy()[rows]) for rows in (first, slice(None))):
            hint = f"If it is known only after the target is, 'data.drop=[\"{name}\"]'"
            say(f"{where}, column {name!r} alone tells data.target={target.name} in all {len(column)} rows. {hint}")


def tells(column: pd.Series, target: np.ndarray) -> bool:
    """Say whether each value, or each range of numbers, goes with one target; missing is a value too."""
    codes, groups = pd.factorize(column, use_na_sentinel=False)
    answers, kinds = pd.factorize(target)
    if len(pd.unique(codes * len(kinds) + answers)) > len(groups):
        return False  # a value goes with several targets
    if (np.bincount(codes)[codes] > 1).mean() > 0.9 or not pd.api.types.is_numeric_dtype(column):
        return len(groups) < 0.5 * len(column)
    present = column.notna().to_numpy()
    in_order = target[present][np.argsort(column[present])]
    if target.dtype == np.int64:  # of classes, each is a range of the column
        return np.count_nonzero(np.diff(in_order)) == len(np.unique(in_order)) - 1
    return abs(np.corrcoef(np.arange(len(in_order)), pd.Series(in_order).rank())[0, 1]) > 0.9999

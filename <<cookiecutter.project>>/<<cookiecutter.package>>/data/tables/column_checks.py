"""Columns of a table that nothing can be learnt from as they are, and those that tell the target by themselves."""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import NAMED, as_number, categories, is_numeric, numbers
from .written_numbers import how_to_read

UNNAMED = re.compile(r"Unnamed: \d+|__index_level_\d+__|")  # as pandas calls what has no name
DATE = re.compile(r"\d{4}([-/.])\d\d?\1\d\d?\b.*|\d\d?([-/.])\d\d?\2\d{4}\b.*")
MANY = 20  # different texts: fewer are categories, whatever they look like
SAMPLE = 10_000  # rows that are looked at first


def check_columns(frame: pd.DataFrame, categorical: Collection[str], where: str) -> dict[str, pd.Series]:
    """Return the columns by their names, texts as `categories`.

    Raises:
        ConfigError: one holds neither numbers nor categories, and `categorical` does not name it.
    """
    columns = {str(name): column for name, column in frame.items()}
    for name, column in columns.items():
        if name in categorical or not is_numeric(column, where):
            columns[name] = pd.Series(categories(column), column.index, name=name)
            if name not in categorical:
                check_texts(columns[name], where)
        elif numbers_the_rows(numbers(column, where)):
            say(f"{where}, column {name!r} numbers the rows: unless that means something, 'data.drop=[\"{name}\"]'")
    return columns


def numbers_the_rows(values: np.ndarray) -> bool:
    """Say whether whole numbers only rise, or only fall, from row to row, or are all from a first to a last one."""
    if len(values) <= MANY or any((np.floor(part) != part).any() for part in (values[:MANY], values)):
        return False
    steps, span = np.diff(values), np.ptp(values) + 1
    return bool((steps > 0).all() or (steps < 0).all() or span == len(values) == len(np.unique(values)))


def without_index(frame: pd.DataFrame, named: Collection[str], where: str) -> pd.DataFrame:
    """Leave out the index that a data frame was saved with: whole numbers, another in each row, and no name."""
    for name in [name for name in frame if UNNAMED.fullmatch(name) and name not in named]:
        is_index = pd.api.types.is_integer_dtype(frame[name]) and frame[name].is_unique
        say(f"{where}, column {name!r} has no name" + " and numbers the rows: left out, as an index" * is_index)
        frame = frame.drop(columns=[name] * is_index)
    return frame


def check_texts(column: pd.Series, where: str) -> None:
    """Raise ConfigError for texts, as categories, that are dates, numbers, or hardly ever the same."""
    name = column.name
    texts, present = [*column.cat.categories], column.notna().sum()
    rest = [text for text in texts if as_number(text) is None]
    shown = ", ".join(map(repr, texts[:NAMED]))
    if texts and all(map(DATE.fullmatch, texts)):
        found = f"holds dates: {shown}. Write what matters in them as numbers (year, month, days since a day)"
    elif (rest or len(texts) > MANY) and (how := how_to_read(rest or texts)):
        found = f"holds numbers as people write them: {shown}. {how}"
    elif len(texts) > MANY and 0 < len(rest) < 0.5 * len(texts):
        odd = ", ".join(map(repr, rest[:NAMED]))
        found = f"holds numbers and {len(rest)} other texts: {odd}. Leave the value empty where there is none"
    elif len(texts) > max(MANY, 0.5 * present):
        found = f"has {len(texts)} different texts in {present} rows: {shown}. Too few occur again to learn from them"
    else:
        return
    ways = f"leave it out with 'data.drop=[\"{name}\"]', or take it for a category, in data.categorical"
    raise ConfigError(f"{where}, column {name!r} {found}. Or {ways}")


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

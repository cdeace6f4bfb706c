"""Columns of a table that nothing can be learnt from as they are."""

import re
from collections.abc import Collection

import pandas as pd

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import NAMED, as_number, coded, is_numeric, numbers
from .written_numbers import how_to_read

UNNAMED = re.compile(r"Unnamed: \d+|__index_level_\d+__|")  # as pandas calls what has no name
DATE = re.compile(r"\d{4}([-/.])\d\d?\1\d\d?\b.*|\d\d?([-/.])\d\d?\2\d{4}\b.*")
MANY = 20  # different texts: fewer are categories, whatever they look like


def check_columns(frame: pd.DataFrame, categorical: Collection[str], where: str) -> None:
    """Raise ConfigError for a column that holds neither numbers nor categories, unless `categorical` names it."""
    for name, column in frame.items():
        if name in categorical:
            continue
        if not is_numeric(column, where):
            check_texts(column, where)
            continue
        numbers(column, where)  # raises ConfigError for infinite ones
        if numbers_the_rows(column):
            say(f"{where}, column {name!r} numbers the rows: unless that means something, 'data.drop=[\"{name}\"]'")


def numbers_the_rows(column: pd.Series) -> bool:
    """Say whether whole numbers only rise, or only fall, from row to row, or are all from a first to a last one."""
    if len(column) <= MANY or not pd.api.types.is_numeric_dtype(column) or (column.head(MANY) % 1 != 0).any():
        return False
    if not column.is_unique or (column % 1 != 0).any():
        return False
    ordered = column.is_monotonic_increasing or column.is_monotonic_decreasing
    return ordered or column.max() - column.min() + 1 == len(column)


def without_index(frame: pd.DataFrame, named: Collection[str], where: str) -> pd.DataFrame:
    """Leave out the index that a data frame was saved with: whole numbers, another in each row, and no name."""
    for name in [name for name in frame if UNNAMED.fullmatch(name) and name not in named]:
        is_index = pd.api.types.is_integer_dtype(frame[name]) and frame[name].is_unique
        say(f"{where}, column {name!r} has no name" + " and numbers the rows: left out, as an index" * is_index)
        frame = frame.drop(columns=[name] * is_index)
    return frame


def check_texts(column: pd.Series, where: str) -> None:
    """Raise ConfigError for texts that are dates, numbers, or hardly ever the same."""
    name = column.name
    codes, texts = coded(column)
    if not texts:
        return
    present = codes[codes >= 0]
    ways = f"leave it out with 'data.drop=[\"{name}\"]', or take it for a category, in data.categorical"
    shown = ", ".join(map(repr, texts[:NAMED]))
    if all(map(DATE.fullmatch, texts)):
        raise ConfigError(
            f"{where}, column {name!r} holds dates: {shown}. Write what matters in them as numbers "
            f"(year, month, days since a day), or {ways}"
        )
    rest = [text for text in texts if as_number(text) is None]
    if (rest or len(texts) > MANY) and (how := how_to_read(rest or texts)):
        raise ConfigError(f"{where}, column {name!r} holds numbers as people write them: {shown}. {how}. Or {ways}")
    if rest and len(texts) > MANY and len(rest) < 0.5 * len(texts):
        raise ConfigError(
            f"{where}, column {name!r} holds numbers and {len(rest)} other texts: {', '.join(map(repr, rest[:NAMED]))}. "
            f"Leave the value empty where there is none, or {ways}"
        )
    if len(texts) > MANY and len(texts) > 0.5 * len(present):
        raise ConfigError(
            f"{where}, column {name!r} has {len(texts)} different texts in {len(present)} rows: {shown}. "
            f"Nothing can be learnt from a text that hardly occurs again: {ways}"
        )

"""Columns of a table that nothing can be learnt from as they are."""

import re
from collections.abc import Collection

import pandas as pd

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import NAMED, as_number, coded, is_numeric, numbers

DATE = re.compile(r"\d{4}([-/.])\d\d?\1\d\d?\b.*|\d\d?([-/.])\d\d?\2\d{4}\b.*")
COMMA = re.compile(r"[+-]?\d+,\d+")
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
    """Say whether the integers are those from a first to a last one, each of them once."""
    whole = pd.api.types.is_integer_dtype(column) and len(column) > MANY and column.is_unique
    return whole and column.max() - column.min() + 1 == len(column)


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
    decimals = [text for text in texts if COMMA.fullmatch(text)]
    rest = [text for text in texts if not COMMA.fullmatch(text) and as_number(text) is None]
    if decimals and not rest:
        raise ConfigError(
            f"{where}, column {name!r} holds numbers with a comma: {shown}. If it means 1.5, set 'data.decimal=\",\"'; "
            f"if it groups thousands, write the numbers without it; or {ways}"
        )
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

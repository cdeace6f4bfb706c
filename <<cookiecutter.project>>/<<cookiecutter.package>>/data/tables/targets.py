"""What is predicted of each row of a table: its class, or a number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import as_number, coded, counted, named_rows, numbers
from .odd_cells import usual_range, without_odd
from .written_numbers import parse_all

MANY = 20  # different numbers: fewer are classes
NO_VALUE = ("na", "n/a", "none", "null")  # a class that is called so may be none


def classes_of(column: pd.Series, are_names: bool) -> tuple[str, ...]:
    """Return the classes of the target in order: as numbers if they are, else by the alphabet."""
    _, texts = coded(column)
    if len(texts) < 2:
        raise ConfigError(f"data.target={column.name} must have two classes or more, got {', '.join(texts) or 'none'}")
    if len(texts) > MANY and not are_names:
        check_not_regression(column, texts)
    for text in texts:
        if text.casefold() in NO_VALUE:
            say(
                f"data.target={column.name}: {text!r} is a class, as any other. Leave the cell empty if it means missing"
            )
    for same in spelt_alike(column):
        say(f"data.target={column.name}: {same} differ only in case or space. Write them alike if they are one class")
    return tuple(texts)


def check_not_regression(column: pd.Series, texts: list[str]) -> None:
    """Raise ConfigError for a target of so many different numbers that it is one, and say so where it may be."""
    values = [as_number(text) for text in texts]
    if None in values and not any(parse_all(texts, decimal) for decimal in ".,"):
        return
    how = "to predict a number set data.task=regression and model=tabular_regressor"
    found = f"data.target={column.name} has {len(texts)} different numbers, such as {', '.join(texts[:3])}"
    if values in ([*range(len(texts))], [*range(1, len(texts) + 1)]) and column.value_counts().min() > 2:
        say(f"{found}, taken as classes; {how}")
    else:
        raise ConfigError(
            f"{found}: {how}. If they are names of classes, 'data.categorical=[\"{column.name}\"]'; "
            "or make classes of it first (pandas.cut)"
        )


def spelt_alike(column: pd.Series) -> list[str]:
    """Return the texts of a column that differ only in case, in space or in their Unicode form, each group in quotes."""
    texts = pd.Series(column.dropna().unique()).astype(str)
    keys = texts.str.normalize("NFKC").str.casefold().str.replace(r"\s+", "", regex=True)
    return [" and ".join(map(repr, group)) for _, group in texts.groupby(keys) if len(group) > 1]


def class_labels(column: pd.Series, class_names: Sequence[str], where: str) -> Tensor:
    """Return the place (N,), int64, of the class of each row in `class_names`.

    Raises:
        ConfigError: a class is missing or unknown; `where` says of which rows.
    """
    codes, texts = coded(column)
    check_present(codes < 0, column, where)
    place = {text: number for number, text in enumerate(class_names)}
    if unknown := {text: int((codes == n).sum()) for n, text in enumerate(texts) if text not in place}:
        raise ConfigError(
            f"{where}: data.target={column.name} has classes that training does not know: {counted(unknown)}. "
            f"It knows {', '.join(class_names[:20])}"
        )
    return torch.from_numpy(np.array([place[text] for text in texts])[codes])


def meant_targets(column: pd.Series, where: str) -> pd.Series:
    """Return the numbers of the target, those missing that cannot be meant."""
    where = f"data.task=regression, {where}"
    values = numbers(column, where)
    return pd.Series(without_odd(values, *usual_range(values), column, where), column.index, name=column.name)


def target_numbers(column: pd.Series, where: str) -> Tensor:
    """Return the numbers (N,), float32, in the unit of the file.

    Raises:
        ConfigError: a number is missing, infinite or none; `where` says of which rows.
    """
    values = numbers(column, f"data.task=regression, {where}")
    check_present(np.isnan(values), column, where)
    return torch.from_numpy(values.astype(np.float32))


def spread(targets: Tensor, name: str) -> tuple[float, float]:
    """Return the mean and the standard deviation of the numbers (N,) of the training rows."""
    std, mean = torch.std_mean(targets.double(), correction=0)
    if std == 0:
        raise ConfigError(f"data.target={name} is the same in all training rows: there is nothing to predict")
    return float(mean), float(std)


def check_present(is_missing: np.ndarray, column: pd.Series, where: str) -> None:
    """Raise ConfigError when the target of a row is missing."""
    if len(missing := column.index[is_missing]):
        raise ConfigError(
            f"{where}: data.target={column.name} is missing in {len(missing)} rows ({named_rows(missing)}): "
            "data.skip_missing=true leaves them out"
        )

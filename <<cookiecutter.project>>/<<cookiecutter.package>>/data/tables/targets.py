"""What is predicted of each row of a table: its class, or a number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import as_number, coded, counted, named_rows, numbers, say_alike
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
    for text in (text for text in texts if text.casefold() in NO_VALUE):
        say(f"data.target={column.name}: {text!r} is a class as any other; if it means missing, leave the cell empty")
    say_alike(column, f"data.target={column.name}")
    return tuple(texts)


def check_not_regression(column: pd.Series, texts: list[str]) -> None:
    """Raise ConfigError for a target of so many different numbers that it is one, and say so where it may be."""
    values = [as_number(text) for text in texts]
    if None in values and not any(parse_all(texts, decimal) for decimal in ".,"):
        return
    found = f"data.target={column.name} has {len(texts)} different numbers, such as {', '.join(texts[:3])}"
    found += ": to predict a number set data.task=regression and model=tabular_regressor"
    how = f"{found}. If they are names of classes, 'data.categorical=[\"{column.name}\"]'"
    if values not in ([*range(len(texts))], [*range(1, len(texts) + 1)]) or column.value_counts().min() < 3:
        raise ConfigError(f"{how}; or make classes of it first (pandas.cut)")
    say(how)


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
        rows = f"{len(missing)} rows ({named_rows(missing)})"
        raise ConfigError(
            f"{where}: data.target={column.name} is missing in {rows}: data.skip_missing=true leaves them out"
        )

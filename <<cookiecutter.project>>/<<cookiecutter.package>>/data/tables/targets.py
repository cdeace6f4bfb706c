"""What is predicted of each row of a table: its class, or a number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .column_values import as_number, categories, codes_of, counted, named_rows, numbers, say_alike
from .written_numbers import parse_all

MANY = 20  # different numbers: fewer are classes
NO_VALUE = ("na", "n/a", "none", "null")  # a class that is called so may be none


def classes_of(column: pd.Series, are_names: bool) -> tuple[str, ...]:
    """Return the classes of the target in order: as numbers if they are, else by the alphabet."""
    texts = [*categories(column).categories]
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


def encode_target(column: pd.Series, class_names: Sequence[str] | None, where: str) -> Tensor:
    """Return the place (N,), int64, of the class of each row in `class_names`, or without these its number, float32.

    Raises:
        ConfigError: a target is missing, infinite, no number or an unknown class; `where` says of which rows.
    """
    if class_names is None:
        values = numbers(column, f"data.task=regression, {where}").astype(np.float32)
        missing = np.isnan(values)
    else:
        values, unknown = codes_of(categories(column), class_names)
        if len(unknown):
            found = f"has classes that training does not know: {counted(unknown)}"
            raise ConfigError(f"{where}: data.target={column.name} {found}. It knows {', '.join(class_names[:20])}")
        values = values.astype(np.int64)
        missing = values < 0
    if len(rows := column.index[missing]):
        found = f"is missing in {len(rows)} rows ({named_rows(rows)})"
        raise ConfigError(f"{where}: data.target={column.name} {found}: data.skip_missing=true leaves them out")
    return torch.from_numpy(values)


def spread(targets: Tensor, name: str) -> tuple[float, float]:
    """Return the mean and the standard deviation of the numbers (N,) of the training rows."""
    std, mean = torch.std_mean(targets.double(), correction=0)
    if std == 0:
        raise ConfigError(f"data.target={name} is the same in all training rows: there is nothing to predict")
    return float(mean), float(std)

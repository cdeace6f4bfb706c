"""What is predicted of each row of a table: its class, or a number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from <<cookiecutter.package>>.data.tables.column_values import as_number, coded, counted, numbers
from <<cookiecutter.package>>.engine.errors import ConfigError


def classes_of(column: pd.Series) -> tuple[str, ...]:
    """Return the classes of the target in order: as numbers if they are, else by the alphabet."""
    _, texts = coded(column)
    values = [as_number(text) for text in texts]
    if len(texts) > 20 and None not in values and any(value and value % 1 for value in values):
        raise ConfigError(
            f"data.target={column.name} has {len(texts)} different numbers, such as {', '.join(texts[:3])}: to predict a "
            "number set data.task=regression and model=tabular_regressor; or make classes of it first (pandas.cut)"
        )
    if len(texts) < 2:
        raise ConfigError(f"data.target={column.name} must have two classes or more, got {', '.join(texts) or 'none'}")
    return tuple(texts)


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
    if len(missing := np.flatnonzero(is_missing) + 1):
        rows = ", ".join(map(str, missing[:5]))
        raise ConfigError(
            f"{where}: data.target={column.name} is missing in {len(missing)} rows: remove them (row {rows}, from 1)"
        )

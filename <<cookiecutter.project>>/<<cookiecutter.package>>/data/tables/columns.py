"""What a model is told of the columns of a table: numbers that are standardized, and codes of categories."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.targets import did_you_mean

from .column_values import (
    categories,
    codes_of,
    counted,
    is_numeric,
    is_odd,
    numbers,
    say_alike,
    usual_range,
    without_odd,
)


@dataclass
class Columns:
    """What was learnt of the columns of the training rows; plain data.

    Args:
        numeric: mean, standard deviation, whether values were missing, and the range of what is usual, by the name of the
            column.
        categorical: the texts that occurred, by the name of the column.
    """

    numeric: dict[str, tuple[float, float, bool, float, float]]
    categorical: dict[str, list[str]]

    def encode(self, frame: pd.DataFrame, where: str) -> tuple[Tensor, Tensor]:
        """Return numbers (N, F), float32, of mean 0 and deviation 1, and codes (N, K), int64, of categories.

        A missing number is the mean, and so is one that cannot be meant; where some were missing in training, a column
        beside it is 1 there and else 0. Code 0 is a category that is missing or was not seen in training; 1 and on are
        those in `categorical`.

        Raises:
            ConfigError: a column is missing, or does not hold what it held in training; `where` says of which rows.
        """
        columns = {str(name): column for name, column in frame.items()}
        for name in [*self.numeric, *self.categorical]:
            if name not in columns:
                raise ConfigError(f"{where}: column {name!r} is missing{did_you_mean(name, columns)}")
        inputs, codes = [], []
        for name, (mean, std, some_missing, low, high) in self.numeric.items():
            values = without_odd(numbers(columns[name], where), low, high, columns[name], where)
            missing = np.isnan(values)
            if missing.all():
                say(f"{where}, column {name!r} is empty: its mean in training, {mean:.6g}, stands for it")
            inputs.append(np.where(missing, 0, (values - mean) / std).astype(np.float32))
            if some_missing:
                inputs.append(missing.astype(np.float32))
        for name, known in self.categorical.items():
            found, new = codes_of(categories(columns[name]), known)
            if len(new):
                say(f"{where}, column {name!r}: {new.sum()} with a text not seen in training, code 0: {counted(new)}")
            codes.append(found.astype(np.int64) + 1)
        return rows_of(inputs, len(frame), torch.float32), rows_of(codes, len(frame), torch.int64)


def rows_of(columns: Sequence[np.ndarray], num_rows: int, dtype: torch.dtype) -> Tensor:
    """Return numbers (N, F), of F columns (N,)."""
    return torch.from_numpy(np.array(columns).reshape(len(columns), num_rows).T.copy()).to(dtype)


def learn_columns(frame: pd.DataFrame, categorical: Collection[str], outliers: str, where: str) -> Columns:
    """Look at the training rows; a column with the same value in all of them is left out."""
    columns, constant = Columns({}, {}), []
    for name, column in ((str(name), column) for name, column in frame.items()):
        if name in categorical or not is_numeric(column, where):
            texts = categories(column).remove_unused_categories()
            if len(texts.categories) + texts.isna().any() > 1:
                columns.categorical[name] = [*texts.categories]
                say_alike(column, f"{where}, column {name!r}")
                continue
        else:
            values = numbers(column, where)
            low, high = usual_range(values, outliers)
            present = values[~np.isnan(values) & ~is_odd(values, low, high)]
            some_missing = len(present) < len(values)
            if len(present) and (some_missing or present.min() < present.max()):
                mean, std = float(present.mean()), float(present.std()) or 1.0
                columns.numeric[name] = (mean, std, some_missing, low, high)
                continue
        constant.append(name)
    if constant:
        say(f"{where}: left out, the same in all training rows: {', '.join(constant)}")
    if not columns.numeric and not columns.categorical:
        raise ConfigError(f"{where} has no column to learn from beside the target and data.drop")
    return columns

"""What a model is told of the columns of a table: numbers that are standardized, and codes of categories."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

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
        values, codes = self.read(frame, where)
        return Standardize(self)(values), codes

    def read(self, frame: pd.DataFrame, where: str) -> tuple[Tensor, Tensor]:
        """Return the numbers (N, C), float64, of the numeric columns, NaN where they are missing, and the codes (N, K)."""
        columns = {str(name): column for name, column in frame.items()}
        self.check_names(columns, where)
        values, codes = [], []
        for name, (mean, _, _, low, high) in self.numeric.items():
            values.append(without_odd(numbers(columns[name], where), low, high, columns[name], where))
            if len(frame) and np.isnan(values[-1]).all():
                say(f"{where}, column {name!r} is empty: its mean in training, {mean:.6g}, stands for it")
        for name, known in self.categorical.items():
            found, new = codes_of(categories(columns[name]), known)
            if len(new):
                say(f"{where}, column {name!r}: {new.sum()} with a text not seen in training, code 0: {counted(new)}")
            codes.append(found.astype(np.int64) + 1)
        return rows_of(values, len(frame), torch.float64), rows_of(codes, len(frame), torch.int64)

    def check_names(self, names: Collection[str], where: str) -> None:
        """Raise ConfigError for the first column that is not among some names."""
        for name in [*self.numeric, *self.categorical]:
            if name not in names:
                raise ConfigError(f"{where}: column {name!r} is missing{did_you_mean(name, names)}")

    def decode(self, numbers: Tensor, codes: Tensor) -> list[dict[str, Any]]:
        """Return rows as `encode` got them, by the name of the column; None is missing, or a text not seen in training."""
        rows: list[dict[str, Any]] = []
        for inputs, places in zip(numbers.tolist(), codes.tolist(), strict=True):
            values, row = iter(inputs), {}
            for name, (mean, std, some_missing, *_) in self.numeric.items():
                number = round(mean + std * next(values), 6)
                row[name] = None if some_missing and next(values) else number
            texts = zip(self.categorical.items(), places, strict=True)
            rows.append(row | {name: [None, *known][place] for (name, known), place in texts})
        return rows


class Standardize(nn.Module):
    """Map the numbers (N, C), float64, of the numeric columns to those (N, F), float32, that a model takes."""

    mean: Tensor
    std: Tensor
    places: Tensor

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        facts = [*columns.numeric.values()]
        self.register_buffer("mean", torch.tensor([mean for mean, *_ in facts], dtype=torch.float64))
        self.register_buffer("std", torch.tensor([std for _, std, *_ in facts], dtype=torch.float64))
        # Of the numbers and whether each is missing, (N, 2 * C): each number, and its flag where some were missing.
        places = [place for n, fact in enumerate(facts) for place in (n, len(facts) + n)[: 1 + fact[2]]]
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        missing = values.isnan()
        numbers = torch.where(missing, 0.0, (values - self.mean) / self.std)
        return torch.cat([numbers.float(), missing.float()], dim=1).index_select(1, self.places)


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

"""A table in a CSV or Parquet file: one column is what to predict, the others are what is known of each row."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from <<cookiecutter.package>>.data.split import split_sha256
from <<cookiecutter.package>>.data.tensor_data import TensorData
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.loader import TensorLoader
from <<cookiecutter.package>>.engine.targets import PACKAGE, did_you_mean

try:
    import pandas as pd
    import pyarrow  # noqa: F401  (pandas reads Parquet with it)
except ModuleNotFoundError as error:
    raise ConfigError(f"tables need {error.name}: uv sync --all-extras, or pip install pandas pyarrow") from error

from .column_checks import check_columns, check_leaks, without_index
from .column_values import categories, numbers, usual_range, without_odd
from .columns import Columns, learn_columns
from .row_split import split_rows
from .table_file import read_table
from .targets import classes_of, encode_target, spread


class Table(TensorData):
    """Rows of numbers (F,), float32, standardized, codes of categories (K,), int64, and a target: see `Columns.encode`.

    The target is the number of a class, int64, or in regression a number in its own unit, float32. Mean, deviation and
    categories are those of the training rows. They are part of a checkpoint, and what is predicted with one is encoded as
    it was trained. Rows that are equal in all columns go to the same split.

    Args:
        path: of a CSV file, whose first line names the columns, or a Parquet file, which may be compressed.
        target: column to predict.
        task: classification or regression.
        test_path: of a file with the test rows; None draws them from `path`.
        predict_path: of a file with rows to predict, which needs no target.
        skip_missing: leave out rows whose target is missing instead of raising an error.
        drop: columns that say nothing of the target, or would give it away.
        categorical: columns whose numbers are names of something, such as a postcode; the target may be one.
        outliers: whether numbers that cannot be meant, as 1e30 among ages or -999, count as missing.
        separator: between two values of a CSV file.
        decimal: what the file writes in 1.5.
        formatted_numbers: read texts such as $1,200 and 45 % (0.45) as numbers.
        val_fraction: share of the rows kept for validation, between 0 and 1.
        test_fraction: share of the rows kept for testing, between 0 and 1; not used with `test_path`.
        split_seed: draws the rows of each split.
        loading: batch_size and seed of TensorData.
    """

    num_features: int  # F
    categories: tuple[int, ...]  # number of codes of each of the K columns, 0 (unknown) included
    target_mean: float  # of the training rows, in regression
    target_std: float

    def __init__(
        self,
        path: str | None = None,
        target: str | None = None,
        *,
        task: Literal["classification", "regression"] = "classification",
        test_path: str | None = None,
        predict_path: str | None = None,
        skip_missing: bool = False,
        drop: Sequence[str] = (),
        categorical: Sequence[str] = (),
        outliers: Literal["missing", "keep"] = "missing",
        separator: str = ",",
        decimal: str = ".",
        formatted_numbers: bool = False,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        **loading: Any,
    ) -> None:
        if path is None or target is None:
            raise ConfigError("data=table needs data.path=table.csv (or .parquet) and data.target=column to predict")
        fractions = {"val": val_fraction} if test_path else {"test": test_fraction, "val": val_fraction}
        if min(fractions.values()) <= 0 or sum(fractions.values()) >= 1:
            names = " and ".join(f"data.{name}_fraction={share}" for name, share in fractions.items())
            raise ConfigError(f"{names} must be above 0 and leave some rows for training")
        separator = separator.replace("\\t", "\t")  # as a shell hands it over
        for name, value in {"separator": separator, "decimal": decimal}.items():
            if len(value) != 1:
                raise ConfigError(f"data.{name} must be one character, got {value!r}")
        self.paths = {"path": path, "test_path": test_path, "predict_path": predict_path}
        self.target, self.task, self.skip_missing, self.outliers = target, task, skip_missing, outliers
        self.format = {"separator": separator, "decimal": decimal, "formatted": formatted_numbers}
        drop, categorical = [*map(str, drop)], [*map(str, categorical)]  # a column may be called 2026
        frame = self.read("path", categorical)
        check_names(frame, drop, "data.drop")
        check_names(frame, categorical, "data.categorical")
        for key, names in {"drop": {target}, "categorical": {*categorical}}.items():
            for name in names.intersection(drop):
                raise ConfigError(f"data.{key} must not hold {name!r}, which is in data.target or data.drop")
        features = without_index(frame.drop(columns=[target, *drop]), categorical, "data.path")
        coded = check_columns(features, categorical, "data.path")
        coded[target] = column = dict(frame.items())[target]
        if task == "classification":
            self.class_names = classes_of(column, target in categorical)
            coded[target] = pd.Series(categories(column), column.index, name=target)
        frame = pd.DataFrame(coded, copy=False)
        targets = self.targets(frame, "data.path").numpy()
        check_leaks(features, pd.Series(targets, name=target), "data.path")
        class_names = getattr(self, "class_names", ("all",))
        labels = targets if task == "classification" else np.zeros(len(targets), dtype=np.int64)
        self.rows = split_rows(features, labels, class_names, fractions, split_seed)
        self.columns = learn_columns(
            frame[features.columns].iloc[self.rows["train"]], categorical, outliers, "data.path"
        )
        super().__init__(self.encode(frame), **loading)

    def read(self, key: str, categorical: Sequence[str]) -> pd.DataFrame:
        labels = self.target if self.task == "classification" else None
        frame = read_table(f"data.{key}", str(self.paths[key]), text=categorical, labels=labels, **self.format)
        if key == "predict_path":
            return frame
        check_names(frame, [self.target], f"data.{key}, data.target")
        if self.task == "regression":
            column, where = dict(frame.items())[self.target], f"data.task=regression, data.{key}"
            values = numbers(column, where)
            frame[self.target] = without_odd(values, *usual_range(values, self.outliers), column, where)
        known = frame.dropna(subset=[self.target]) if self.skip_missing else frame
        if skipped := len(frame) - len(known):
            say(f"data.{key}: {skipped} rows without data.target={self.target} are left out (data.skip_missing)")
        return known

    def encode(self, frame: pd.DataFrame) -> dict[str, TensorDataset]:
        """Return numbers (N, F), float32, codes (N, K), int64, and targets (N,) of each split; say what a model needs."""
        frames = {f"{name} rows of data.path": frame.iloc[rows] for name, rows in self.rows.items()}
        if self.paths["test_path"]:
            frames["test rows of data.test_path"] = self.read("test_path", [*self.columns.categorical])
        splits = {
            where.partition(" ")[0]: TensorDataset(*self.columns.encode(rows, where), self.targets(rows, where))
            for where, rows in frames.items()
        }
        self.num_features = splits["train"].tensors[0].shape[1]
        self.categories = tuple(len(texts) + 1 for texts in self.columns.categorical.values())
        if self.task == "classification":
            self.num_classes = len(self.class_names)
        else:
            self.target_mean, self.target_std = spread(splits["train"].tensors[2], self.target)
        return splits

    def targets(self, frame: pd.DataFrame, where: str) -> Tensor:
        """Return the number (N,), int64, of the class of each row, or in regression its target, float32."""
        return encode_target(dict(frame.items())[self.target], getattr(self, "class_names", None), where)

    def predict_dataloader(self) -> DataLoader:
        """Serve the rows of `predict_path` in their order, (B, F) and (B, K); without it the test split, with its targets."""
        if self.paths["predict_path"] is None:
            return super().predict_dataloader()
        frame = self.read("predict_path", [*self.columns.categorical])
        rows = TensorDataset(*self.columns.encode(frame, "data.predict_path"))
        return TensorLoader(rows, shuffle=False, **self.loading)

    def state_dict(self) -> dict[str, Any]:
        inputs = {"_target_": f"{PACKAGE}.data.tables.row_inputs.RowInputs"} | self.format
        return super().state_dict() | asdict(self.columns) | {"inputs": inputs}

    def raw_samples(self, split: str, most: int) -> tuple[Tensor, ...]:
        """Return the first rows of train or val as the file holds them: see Columns.read."""
        frame = self.read("path", [*self.columns.categorical]).iloc[self.rows[split][:most]]
        return self.columns.read(frame, f"{split} rows of data.path")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Encode the rows as they were for the model of a checkpoint, in case the file has changed since."""
        columns = Columns(state_dict["numeric"], state_dict["categorical"])
        if columns == self.columns and state_dict.get("class_names") == self.state_dict().get("class_names"):
            return
        self.columns = columns
        if self.task == "classification":
            self.class_names = tuple(state_dict["class_names"])
        self.splits = self.encode(self.read("path", [*self.columns.categorical]))
        self.split_sha256 = split_sha256(self.splits)


def check_names(frame: pd.DataFrame, names: Sequence[str], where: str) -> None:
    """Raise ConfigError for the first of some names in the config that is no column of the table."""
    for name in (name for name in names if name not in frame):
        found = f"{where}: there is no column {name!r}{did_you_mean(name, frame.columns)}"
        raise ConfigError(f"{found}\nThe first line of the file names these: {', '.join(frame.columns[:100])}")

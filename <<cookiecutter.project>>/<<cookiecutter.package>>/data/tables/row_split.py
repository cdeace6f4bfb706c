"""Draw the rows of each split of a table."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from <<cookiecutter.package>>.data.split import draw
from <<cookiecutter.package>>.data.tables.column_values import counted
from <<cookiecutter.package>>.engine.errors import ConfigError


def split_rows(
    frame: pd.DataFrame, labels: np.ndarray, class_names: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Return the rows of train and of each split in `fractions` (shares of all), each class in proportion.

    Equal rows stay together, else the model is tested on what it has seen. Where the columns have so few values that
    different samples are bound to be equal, as new ones will be, each row is drawn for itself.
    """
    keys = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    pairs = (len(frame) * min(*fractions.values(), 1 - sum(fractions.values()))) ** 2
    for rows in (frame.head(1000), frame):  # the first tell of most tables
        num_values = sum(column.nunique(dropna=False) for _, column in rows.items())
        if num_values >= 0.9 * frame.size or frame.shape[1] * math.log(num_values) >= math.log(100 * pairs):
            break
    else:
        keys = np.arange(len(frame))
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    counts = np.bincount(labels[first], minlength=len(class_names))
    if len(few := np.flatnonzero(counts <= len(fractions))):
        found = f"too few different rows for {len(fractions) + 1} splits: {counted(pd.Series(counts, [*class_names]).iloc[few])}"
        raise ConfigError(f"data.target: {found}. Add rows, or join a class with another")
    drawn = draw(labels[first], fractions, seed)
    return {split: np.flatnonzero(np.isin(group, groups)) for split, groups in drawn.items()}

"""Fully connected networks for the rows of a table: numbers, and categories as codes."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from <<cookiecutter.package>>.models.classifier import Classifier
from <<cookiecutter.package>>.models.regressor import Regressor


class RowLayers(nn.Module):
    """Embed the codes of a row beside its numbers, then hidden layers with batch norm, ReLU and dropout, then a linear one.

    Args:
        num_features: F, how many numbers a row has.
        categories: number of codes of each of the K categories; code 0, unknown, is a vector of zeros.
        sizes: units of each hidden layer, and of the last one.
        dropout: share of hidden units dropped while training, in [0, 1).
    """

    def __init__(self, num_features: int, categories: Sequence[int], sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        widths = [min(50, (n + 1) // 2) for n in categories]
        self.embeddings = nn.ModuleList(map(partial(nn.Embedding, padding_idx=0), categories, widths))
        *hidden_sizes, out_features = [num_features + sum(widths), *sizes]
        self.layers = nn.Sequential()
        for m, n in pairwise(hidden_sizes):
            self.layers.extend([nn.Linear(m, n, bias=False), nn.BatchNorm1d(n), nn.ReLU(), nn.Dropout(dropout)])
        self.layers.append(nn.Linear(hidden_sizes[-1], out_features))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, F), float32, and codes (B, K), int64, to outputs (B, sizes[-1])."""
        vectors = [embedding(code) for embedding, code in zip(self.embeddings, codes.unbind(1), strict=True)]
        return self.layers(torch.cat([numbers, *vectors], dim=1))


class TabularMLP(Classifier):
    """Embeddings and layers of RowLayers, which end in one logit per class.

    Args:
        num_features: how many numbers a row has, from the data.
        categories: number of codes of each category, from the data.
        hidden_sizes: units of each hidden layer.
        dropout: share of hidden units dropped while training, in [0, 1).
        training: of Classifier.
    """

    def __init__(
        self,
        *,
        num_features: int,
        categories: Sequence[int],
        hidden_sizes: Sequence[int] = (128, 64),
        dropout: float = 0.1,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.layers = RowLayers(num_features, categories, [*hidden_sizes, self.hparams.num_classes], dropout)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, F), float32, and codes (B, K), int64, to logits (B, num_classes)."""
        return self.layers(numbers, codes)


class TabularRegressor(Regressor):
    """The same layers, and one number, which begins at the mean of the targets and has their spread.

    Args:
        num_features: how many numbers a row has, from the data.
        categories: number of codes of each category, from the data.
        target_mean: of the training rows, from the data.
        target_std: of the training rows, from the data.
        hidden_sizes: units of each hidden layer.
        dropout: share of hidden units dropped while training, in [0, 1).
        training: of Regressor.
    """

    def __init__(
        self,
        *,
        num_features: int,
        categories: Sequence[int],
        target_mean: float,
        target_std: float,
        hidden_sizes: Sequence[int] = (128, 64),
        dropout: float = 0.1,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.layers = RowLayers(num_features, categories, [*hidden_sizes, 1], dropout)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, F), float32, and codes (B, K), int64, to numbers (B,) in the unit of the targets."""
        standardized = self.layers(numbers, codes).squeeze(1)
        return self.hparams.target_mean + self.hparams.target_std * standardized

"""Fully connected networks for the rows of a table: numbers, and categories as codes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from <<cookiecutter.package>>.models.classifier import Classifier
from <<cookiecutter.package>>.models.regressor import Regressor


class RowLayers(nn.Module):
    """Embed the codes of a row beside its numbers, then hidden layers with batch norm, ReLU and dropout.

    Args:
        num_features: F, how many numbers a row has.
        categories: number of codes of each of the K categories; code 0, unknown, is a vector of zeros.
        hidden_sizes: units of each hidden layer.
        dropout: share of hidden units dropped while training, in [0, 1).
    """

    def __init__(
        self, num_features: int, categories: Sequence[int], hidden_sizes: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        widths = [min(50, (n + 1) // 2) for n in categories]
        self.embeddings = nn.ModuleList(
            nn.Embedding(n, m, padding_idx=0) for n, m in zip(categories, widths, strict=True)
        )
        sizes = [num_features + sum(widths), *hidden_sizes]
        self.hidden = nn.Sequential()
        for m, n in pairwise(sizes):
            self.hidden.extend([nn.Linear(m, n, bias=False), nn.BatchNorm1d(n), nn.ReLU(), nn.Dropout(dropout)])
        self.out_features = sizes[-1]

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, F), float32, and codes (B, K), int64, to features (B, out_features)."""
        vectors = [embedding(code) for embedding, code in zip(self.embeddings, codes.unbind(1), strict=True)]
        return self.hidden(torch.cat([numbers, *vectors], dim=1))


class TabularMLP(Classifier):
    """Embeddings and hidden layers of RowLayers, then one linear layer.

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
        self.layers = RowLayers(num_features, categories, hidden_sizes, dropout)
        self.head = nn.Linear(self.layers.out_features, self.hparams.num_classes)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, F), float32, and codes (B, K), int64, to logits (B, num_classes)."""
        return self.head(self.layers(numbers, codes))


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
        self.layers = RowLayers(num_features, categories, hidden_sizes, dropout)
        self.head = nn.Linear(self.layers.out_features, 1)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, F), float32, and codes (B, K), int64, to numbers (B,) in the unit of the targets."""
        standardized = self.head(self.layers(numbers, codes)).squeeze(1)
        return self.hparams.target_mean + self.hparams.target_std * standardized

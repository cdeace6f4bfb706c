"""A fully connected network."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.models.classifier import Classifier


class MLP(Classifier):
    """Flatten, then hidden layers with batch norm, ReLU and dropout, then one linear layer.

    Args:
        input_shape: of one sample, from the data.
        hidden_sizes: units of each hidden layer.
        dropout: share of hidden units dropped while training, in [0, 1).
        categories: number of codes of each of the last inputs, which are categories, from the data; a code is looked up in
            an embedding, where code 0, unknown, is zeros.
        training: of Classifier.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        hidden_sizes: Sequence[int] = (256, 128),
        dropout: float = 0.1,
        categories: Sequence[int] = (),
        **training: Any,
    ) -> None:
        super().__init__(**training)
        widths = [min(50, (n + 1) // 2) for n in categories]
        self.embeddings = nn.ModuleList(
            nn.Embedding(n, m, padding_idx=0) for n, m in zip(categories, widths, strict=True)
        )
        sizes = [math.prod(input_shape) - len(categories) + sum(widths), *hidden_sizes]
        self.hidden = nn.Sequential()
        for m, n in pairwise(sizes):
            self.hidden.extend([nn.Linear(m, n, bias=False), nn.BatchNorm1d(n), nn.ReLU(), nn.Dropout(dropout)])
        self.head = nn.Linear(sizes[-1], self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), or rows (B, F + K) of a table, float32, to logits (B, num_classes)."""
        features = images.flatten(start_dim=1)  # (B, C * H * W)
        if self.embeddings:
            features = self.embed(features)
        return self.head(self.hidden(features))

    def embed(self, rows: Tensor) -> Tensor:
        """Return the numbers of rows (B, F + K), and beside them the embeddings of their codes."""
        if max(self.hparams.categories) > 2 / torch.finfo(rows.dtype).eps:
            raise ConfigError(
                f"{rows.dtype} cannot hold the codes of so many categories: set trainer.precision=bf16-mixed"
            )
        numbers, codes = rows.tensor_split([rows.size(1) - len(self.embeddings)], dim=1)
        vectors = [embedding(code) for embedding, code in zip(self.embeddings, codes.long().unbind(1), strict=True)]
        return torch.cat([numbers, *vectors], dim=1)

"""A fully connected network."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from <<cookiecutter.package>>.models.classifier import Classifier


class MLP(Classifier):
    """Flatten, then hidden layers with batch norm, ReLU and dropout, then one linear layer.

    Args:
        input_shape: of one sample, from the data.
        hidden_sizes: units of each hidden layer.
        dropout: share of hidden units dropped while training, in [0, 1).
        training: of Classifier.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        hidden_sizes: Sequence[int] = (256, 128),
        dropout: float = 0.1,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        sizes = [math.prod(input_shape), *hidden_sizes]
        self.hidden = nn.Sequential()
        for m, n in pairwise(sizes):
            self.hidden.extend([nn.Linear(m, n, bias=False), nn.BatchNorm1d(n), nn.ReLU(), nn.Dropout(dropout)])
        self.head = nn.Linear(sizes[-1], self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), float32, to logits (B, num_classes)."""
        features = images.flatten(start_dim=1)  # (B, C * H * W)
        return self.head(self.hidden(features))

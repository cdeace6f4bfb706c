"""A regression on images."""

import math
from collections.abc import Sequence
from typing import Any

from my_project.models.regressor import Regressor
from torch import Tensor, nn


class Brightness(Regressor):
    """Two linear layers on the flattened image.

    Args:
        input_shape: (C, H, W) of one image, from the data.
        hidden: units between the two layers.
    """

    def __init__(self, *, input_shape: Sequence[int], hidden: int = 32, **training: Any) -> None:
        super().__init__(**training)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(input_shape), hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), float32, to numbers (B,)."""
        return self.layers(images).squeeze(dim=1)

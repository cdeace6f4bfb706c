"""A segmentation: a class for each pixel."""

from collections.abc import Sequence
from typing import Any

from my_project.models.supervised import Supervised
from torch import Tensor, nn


class Segmenter(Supervised):
    """Convolutions that keep height and width, and logits for each pixel.

    Args:
        input_shape: (C, H, W) of one image, from the data.
        num_classes: of a pixel, from the data.
        channels: of each hidden convolution.
    """

    def __init__(self, *, input_shape: Sequence[int], num_classes: int, channels: int = 16, **training: Any) -> None:
        super().__init__(**training)
        self.layers = nn.Sequential(
            nn.Conv2d(input_shape[0], channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, num_classes, kernel_size=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), float32, to logits (B, num_classes, H, W); masks are (B, H, W), int64."""
        return self.layers(images)

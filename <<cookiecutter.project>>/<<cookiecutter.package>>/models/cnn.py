"""A small convolutional network."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.models.classifier import Classifier


class CNN(Classifier):
    """Three 3x3 convolutions, global average pooling, one linear layer.

    Args:
        input_shape: (C, H, W) of one image, from the data.
        channels: of the last two convolutions; the first has half as many.
    """

    def __init__(self, *, input_shape: Sequence[int], channels: int = 64, **training: Any) -> None:
        super().__init__(**training)
        if len(input_shape) != 3:
            raise ConfigError(f"model=cnn takes images (C, H, W), and this data has inputs {tuple(input_shape)}")
        in_channels = input_shape[0]
        self.features = nn.Sequential(
            conv_block(in_channels, channels // 2),
            conv_block(channels // 2, channels),
            nn.MaxPool2d(2),
            conv_block(channels, channels),
        )
        self.head = nn.Linear(channels, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), float32, to logits (B, num_classes)."""
        features = self.features(images)  # (B, channels, H / 2, W / 2)
        return self.head(features.mean(dim=(2, 3)))


def conv_block(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolve, normalise, rectify; height and width are divided by the stride."""
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )

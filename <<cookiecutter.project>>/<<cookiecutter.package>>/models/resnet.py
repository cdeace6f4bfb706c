"""ResNet (He et al., Deep Residual Learning for Image Recognition, 2016) for small and for large images."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.models.classifier import Classifier
from <<cookiecutter.package>>.models.cnn import conv_block

SMALL = 64  # pixels: images up to this side are not made smaller before the first stage


class ResNet(Classifier):
    """A stem, stages of basic blocks that halve the image and double the channels, global average pooling, one linear layer.

    Args:
        input_shape: (C, H, W) of one image, from the data.
        width: channels of the first stage.
        blocks: basic blocks in each stage.
    """

    def __init__(
        self, *, input_shape: Sequence[int], width: int = 64, blocks: Sequence[int] = (2, 2, 2, 2), **training: Any
    ) -> None:
        super().__init__(**training)
        if len(input_shape) != 3:
            raise ConfigError(f"model=resnet takes images (C, H, W), and this data has inputs {tuple(input_shape)}")
        if min(width, *blocks, len(blocks)) < 1:
            raise ConfigError(f"model.width and each of model.blocks must be at least 1, got {width} and {blocks}")
        in_channels, height, image_width = input_shape
        if max(height, image_width) <= SMALL:  # height and width stay, as in the paper's networks for CIFAR-10
            self.stem = conv_block(in_channels, width)
        else:  # they are quartered, as in the paper's networks for ImageNet
            self.stem = conv_block(in_channels, width, kernel_size=7, stride=2)
            self.stem.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        channels = [width, *(width * 2**stage for stage in range(len(blocks)))]
        self.stages = nn.Sequential()
        for stage, (m, n) in enumerate(pairwise(channels)):
            first = BasicBlock(m, n, stride=1 if stage == 0 else 2)
            self.stages.append(nn.Sequential(first, *(BasicBlock(n, n) for _ in range(blocks[stage] - 1))))
        self.head = nn.Linear(channels[-1], self.hparams.num_classes)
        self.stem.apply(initialize)
        self.stages.apply(initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), float32, to logits (B, num_classes)."""
        features = self.stages(self.stem(images))  # small images: (B, 8 * width, H / 8, W / 8); large: / 32
        return self.head(features.mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input; a 1x1 convolution brings the input to another shape."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if in_channels != out_channels or stride != 1:
            self.shortcut.append(nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        residual = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.relu(residual + self.shortcut(x))


def initialize(module: nn.Module) -> None:
    """Draw convolutions for ReLU (He et al., 2015); begin each block as its shortcut alone, which stands a high lr.

    Source of the zeros: Goyal et al., Accurate, Large Minibatch SGD, 2017, section 5.1.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, BasicBlock):
        nn.init.zeros_(module.norm2.weight)

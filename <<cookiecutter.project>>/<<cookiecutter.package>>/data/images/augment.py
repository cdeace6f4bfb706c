"""Random changes of training images: whole batches at once, on their device, each image in its own way.

They map images (B, C, H, W), of any type, to the like, and draw from torch's own random numbers.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from <<cookiecutter.package>>.engine.errors import ConfigError


class RandomFlip:
    """Mirror an image, left to right.

    Args:
        probability: share of the images that are mirrored, in [0, 1].
    """

    def __init__(self, probability: float = 0.5) -> None:
        if not 0 <= probability <= 1:
            raise ConfigError(f"data.augment: probability must be between 0 and 1, got {probability}")
        self.probability = probability

    def __call__(self, images: Tensor) -> Tensor:
        chosen = torch.rand(len(images), device=images.device) < self.probability
        return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


class RandomCrop:
    """Put a border of zeros around an image and cut its size out of it, at a random place.

    Args:
        padding: width of the border in pixels.
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 1:
            raise ConfigError(f"data.augment: padding must be at least 1 pixel, got {padding}")
        self.padding = padding

    def __call__(self, images: Tensor) -> Tensor:
        b, _, h, w = images.shape
        device = images.device
        padded = pad(images, [self.padding] * 4)  # (B, C, H + 2 * padding, W + 2 * padding)
        top, left = torch.randint(2 * self.padding + 1, (2, b, 1), device=device)
        rows = (top + torch.arange(h, device=device)).view(b, h, 1)
        columns = (left + torch.arange(w, device=device)).view(b, 1, w)
        samples = torch.arange(b, device=device).view(b, 1, 1)
        # One row of channels for each pixel: images whose memory is channels_last keep it.
        return padded.permute(0, 2, 3, 1)[samples, rows, columns].permute(0, 3, 1, 2)


class Cutout:
    """Set a square of an image to zero, at a random place that may lie across the edge.

    Source: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.

    Args:
        size: of the square, in pixels.
    """

    def __init__(self, size: int = 8) -> None:
        if size < 1:
            raise ConfigError(f"data.augment: size must be at least 1 pixel, got {size}")
        self.size = size

    def __call__(self, images: Tensor) -> Tensor:
        b, _, h, w = images.shape
        rows = self.inside(b, h, images).view(b, 1, h, 1)
        columns = self.inside(b, w, images).view(b, 1, 1, w)
        return images.masked_fill(rows & columns, 0)

    def inside(self, num_images: int, length: int, images: Tensor) -> Tensor:
        """Return (B, length), bool: which pixels lie within the square along one side."""
        first = torch.randint(length, (num_images, 1), device=images.device) - self.size // 2
        place = torch.arange(length, device=images.device)
        return (place >= first) & (place < first + self.size)


class RandomAffine:
    """Turn, stretch and move an image by a little, black where nothing was; the result is float32, in the same unit.

    Args:
        degrees: largest turn to either side.
        scale: largest change of width and of height, as a share of each.
        translate: largest move along each side, as a share of it.
    """

    def __init__(self, degrees: float = 10.0, scale: float = 0.1, translate: float = 0.06) -> None:
        if min(degrees, scale, translate) < 0 or scale >= 1:
            got = f"got {degrees}, {scale} and {translate}"
            raise ConfigError(f"data.augment: degrees, scale and translate must be at least 0, scale below 1, {got}")
        self.angle, self.scale, self.translate = math.radians(degrees), scale, translate

    def __call__(self, images: Tensor) -> Tensor:
        turn, width, height, left, top = 2 * torch.rand(5, len(images), device=images.device) - 1  # (B,), in [-1, 1)
        cos, sin = torch.cos(self.angle * turn), torch.sin(self.angle * turn)
        width, height = 1 + self.scale * width, 1 + self.scale * height
        left, top = 2 * self.translate * left, 2 * self.translate * top  # of a side of length 2
        matrices = torch.stack([cos * width, -sin * width, left, sin * height, cos * height, top], dim=1).view(-1, 2, 3)
        grid = affine_grid(matrices, list(images.shape), align_corners=False)  # (B, H, W, 2)
        return grid_sample(images.float(), grid, align_corners=False)

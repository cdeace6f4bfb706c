"""Map pixels to numbers of a mean of about 0, on any device and within an exported graph."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Map images (B, C, H, W), uint8 from 0 to white, to float32 with a mean of about 0 and a standard deviation of about 1.

    Args:
        shape: (C, H, W): on a CPU, spreading a number over a channel costs a multiple of the rest; (C, 1, 1) does spread it.
        mean: of each channel, as a share of white.
        std: of each channel, in the same unit.
        white: the value of a white pixel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, shape: Sequence[int], *, mean: Sequence[float], std: Sequence[float], white: float) -> None:
        super().__init__()
        ones = torch.ones(1, *shape).contiguous(memory_format=torch.channels_last)
        self.register_buffer("scale", ones / (white * torch.tensor(std).view(-1, 1, 1)))
        self.register_buffer("shift", ones * -(torch.tensor(mean) / torch.tensor(std)).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        if self.scale.device != images.device:
            self.to(images.device)
        images = images.to(torch.float32, copy=True)
        return torch.addcmul(self.shift, images, self.scale, out=images)

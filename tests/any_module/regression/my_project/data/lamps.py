"""Images of lamps and how bright each of them is."""

from typing import Any

import torch
from my_project.data.tensor_data import TensorData
from torch.utils.data import TensorDataset


class Lamps(TensorData):
    """480 images (1, 8, 8), float32, and the logarithm of a lamp's brightness."""

    input_shape = (1, 8, 8)

    def __init__(self, **loading: Any) -> None:
        random = torch.Generator().manual_seed(0)
        brightness = torch.rand(480, generator=random) + 0.5
        noise = torch.randn(480, 1, 8, 8, generator=random)
        images = brightness.view(-1, 1, 1, 1) + 0.3 * noise
        parts = {"train": slice(320), "val": slice(320, 400), "test": slice(400, 480)}
        super().__init__(
            {name: TensorDataset(images[part], brightness[part].log()) for name, part in parts.items()}, **loading
        )

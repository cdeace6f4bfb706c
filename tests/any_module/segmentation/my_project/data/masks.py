"""Bright and dark squares in noise, and where they are."""

from typing import Any

import torch
from my_project.data.tensor_data import TensorData
from torch.utils.data import TensorDataset


class Masks(TensorData):
    """320 images (1, 16, 16), float32, and masks (16, 16), int64: background, dark, bright."""

    input_shape = (1, 16, 16)
    class_names = ("background", "dark", "bright")
    num_classes = len(class_names)

    def __init__(self, **loading: Any) -> None:
        random = torch.Generator().manual_seed(0)
        images = 0.3 * torch.randn(320, 1, 16, 16, generator=random)
        masks = torch.zeros(320, 16, 16, dtype=torch.int64)
        for image, mask in zip(images, masks, strict=True):
            for label, shade in ((1, -1.0), (2, 1.0)):
                top, left = torch.randint(11, (2,), generator=random).tolist()
                image[0, top : top + 5, left : left + 5] += shade
                mask[top : top + 5, left : left + 5] = label
        parts = {"train": slice(192), "val": slice(192, 256), "test": slice(256, 320)}
        super().__init__({name: TensorDataset(images[part], masks[part]) for name, part in parts.items()}, **loading)

"""Models that only the doctor can see through."""

import time
from typing import Any

import torch
from my_project.models.small import Small
from torch import Tensor


class LabelsShuffled(Small):
    """The labels are permuted without their images, anew for each batch."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        return super().training_step((images, labels[torch.randperm(len(labels))]), batch_idx)


class ImagesAveraged(Small):
    """All pixels of an image become one number."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.mean(dim=(1, 2, 3), keepdim=True).expand_as(images).round())


class ImagesIgnored(Small):
    """`zeros_like` was there for debugging."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(torch.zeros_like(images))


class SeededByTheClock(Small):
    def __init__(self, **training: Any) -> None:
        torch.manual_seed(time.time_ns() % 2**32)
        super().__init__(**training)


class AlwaysTheSameSeed(Small):
    """With data that has a fixed seed too, `seed=1` changes nothing."""

    def __init__(self, **training: Any) -> None:
        torch.manual_seed(42)
        super().__init__(**training)

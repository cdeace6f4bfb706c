"""Signals of three channels that differ in length."""

from typing import Any

import torch
from my_project.data.tensor_data import TensorData
from torch.utils.data import TensorDataset


class Signals(TensorData):
    """480 waves (3, 40), float32, zero behind their end, their lengths, and whether they are slow or fast."""

    input_shape = (3, 40)
    class_names = ("slow", "fast")
    num_classes = len(class_names)

    def __init__(self, **loading: Any) -> None:
        random = torch.Generator().manual_seed(0)
        labels = torch.randint(2, (480,), generator=random)
        lengths = torch.randint(20, 41, (480,), generator=random)
        phases = 6.28 * torch.rand(480, 3, 1, generator=random)
        time = torch.arange(40)
        waves = torch.sin((0.3 + 0.9 * labels).view(-1, 1, 1) * time + phases)
        waves = (waves + 0.2 * torch.randn(480, 3, 40, generator=random)) * (time < lengths.view(-1, 1, 1))
        parts = {"train": slice(320), "val": slice(320, 400), "test": slice(400, 480)}
        splits = {name: TensorDataset(waves[part], lengths[part], labels[part]) for name, part in parts.items()}
        super().__init__(splits, **loading)

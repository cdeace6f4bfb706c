"""A model for signals of different lengths."""

from typing import Any

import torch
from my_project.models.classifier import Classifier
from torch import Tensor, nn


class OfSignals(Classifier):
    """A convolution over time, and the mean over the part of a signal that is there.

    Args:
        num_channels: of a signal.
        width: channels of the convolution.
    """

    def __init__(self, *, num_channels: int = 3, width: int = 16, **training: Any) -> None:
        super().__init__(**training)
        self.convolution = nn.Conv1d(num_channels, width, kernel_size=5, padding=2)
        self.head = nn.Linear(width, self.hparams.num_classes)

    def forward(self, signals: Tensor, lengths: Tensor) -> Tensor:
        """Map signals (B, num_channels, T), float32, and their lengths (B,), int64, to logits (B, num_classes)."""
        features = self.convolution(signals).relu()
        there = torch.arange(signals.shape[2], device=signals.device) < lengths.unsqueeze(1)
        return self.head((features * there.unsqueeze(1)).sum(dim=2) / lengths.unsqueeze(1))

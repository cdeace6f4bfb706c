"""The mean loss over a split, and how many samples it was measured on."""

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanLoss(Metric):
    """Mean of batch losses, each weighted with its number of samples; a NaN stays a NaN.

    torchmetrics 1.9 has `MeanMetric`, but it drops NaN losses, or, with `nan_strategy="disable"`, the weights.
    """

    total: Tensor  # scalar, float32: sum of the losses of all samples
    num_samples: Tensor  # scalar, int64

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_samples", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, num_samples: int) -> None:
        """Add the mean loss (a scalar) of a batch of num_samples."""
        self.total += loss.detach() * num_samples
        self.num_samples += num_samples

    def compute(self) -> Tensor:
        return self.total / self.num_samples

"""Parameters that an optimizer does not have, or has twice."""

import torch
from my_project.models.small import Manual, Small
from torch import nn


class HeadOnly(Small):
    """The optimizer is made for a part of the model; nothing says that the rest is frozen."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.head.parameters(), lr=0.1)


class LayerReplacedAfterTheOptimizer(Small):
    def on_train_start(self):
        self.head = nn.Linear(32, self.hparams.num_classes)


class WeightReplacedAfterTheOptimizer(Small):
    """Another initialisation, by a new Parameter instead of an operation in place."""

    def on_train_start(self):
        self.head.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(10, 32)))


class UnfrozenAfterTheOptimizer(Small):
    def configure_optimizers(self):
        self.features.requires_grad_(False)
        return torch.optim.SGD([weight for weight in self.parameters() if weight.requires_grad], lr=0.1)

    def on_train_start(self):
        self.features.requires_grad_(True)


class CopyOptimized(Small):
    """`clone` makes tensors of its own: the optimizer moves those."""

    def configure_optimizers(self):
        return torch.optim.SGD([weight.detach().clone().requires_grad_() for weight in self.parameters()], lr=0.1)


class BiasesForgotten(Small):
    """Groups with and without weight decay; the second one is never handed over."""

    def configure_optimizers(self):
        decayed = [weight for weight in self.parameters() if weight.ndim > 1]
        return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}], lr=1e-2)


class InTwoOptimizers(Manual):
    """Both optimizers have the features: they move twice per batch."""

    def configure_optimizers(self):
        features, head = list(self.features.parameters()), list(self.head.parameters())
        return [torch.optim.SGD(features, lr=0.1), torch.optim.SGD([*features, *head], lr=0.1)]

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        first.zero_grad()
        second.zero_grad()
        self.manual_backward(self.loss_of(batch))
        first.step()
        second.step()


class TwiceInOneGroup(Small):
    def configure_optimizers(self):
        return torch.optim.SGD([*self.parameters(), *self.head.parameters()], lr=0.1)


class UnfrozenInTheSecondEpoch(Small):
    """The optimizer was given what trained at the start."""

    def configure_optimizers(self):
        self.features.requires_grad_(False).eval()
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.1)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.current_epoch == 1:
            self.features.requires_grad_(True).train()

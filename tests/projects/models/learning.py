"""Losses, gradients, weights and learning rates that teach nothing."""

from typing import Any

import torch
from my_project.models.small import Manual, Small
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR


class LossDetached(Small):
    def training_step(self, batch, batch_idx):  # here
        return super().training_step(batch, batch_idx).detach().requires_grad_()  # here


class LossMadeAgain(Small):
    """`item` is a number: the way back to the weights is lost."""

    def training_step(self, batch, batch_idx):  # here
        loss = super().training_step(batch, batch_idx)
        return torch.tensor(loss.item(), requires_grad=True)  # here


class LossNotReturned(Small):
    def training_step(self, batch, batch_idx):  # here
        super().training_step(batch, batch_idx)


class LossNotFinite(Small):
    """The logarithm of a probability that rounds to 0."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        chosen = (1e3 * self(images)).softmax(dim=1)[torch.arange(len(labels)), labels]
        return -chosen.log().mean()


class DetachedInTheMiddle(Small):
    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).detach())


class NoGradAroundTheFeatures(Small):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.features(images)
        return self.head(features)


class LayerNeverUsed(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.projection = nn.Linear(32, 32)


class ScaleReadAsANumber(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.scale.item()


class ThroughNumpy(Small):
    """Numpy knows nothing of gradients."""

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images).detach().numpy()
        return self.head(torch.from_numpy(features / (1 + features)))


class GradientNotFinite(Small):
    """The derivative of a square root at 0 is infinite; the loss is not."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.power = nn.Parameter(torch.zeros(32))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images) + self.power.sqrt())


class WeightsRestored(Small):
    """A copy that was meant for the best weights is loaded after every batch."""

    def on_train_start(self) -> None:
        self.best = {name: tensor.clone() for name, tensor in self.state_dict().items()}

    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        self.load_state_dict(self.best)


class AverageNeverMoves(Small):
    """The weights are overwritten with an average of decay 1."""

    def on_train_start(self) -> None:
        self.average = [weight.detach().clone() for weight in self.parameters()]

    @torch.no_grad()
    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        for average, weight in zip(self.average, self.parameters(), strict=True):
            average.lerp_(weight, 0.0)
            weight.copy_(average)


class WarmUpInWholeNumbers(Small):
    """`//` instead of `/`: the learning rate is 0 until the warm-up is over."""

    def configure_optimizers(self):
        optimizer = SGD(self.parameters(), lr=0.1)
        schedule = LambdaLR(optimizer, lambda step: min(1, step // 500))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class OneCycleWithoutInterval(Small):
    """Lightning steps a scheduler once per epoch unless told otherwise."""

    def configure_optimizers(self):
        optimizer = SGD(self.parameters(), lr=0.1)
        schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=int(self.trainer.estimated_stepping_batches))
        return [optimizer], [schedule]


class OneCycleForBatchesNotSteps(Small):
    """With accumulation there are four times fewer steps than batches."""

    def configure_optimizers(self):
        optimizer = SGD(self.parameters(), lr=0.1)
        schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=12 * self.trainer.max_epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class SchedulerNeverStepped(Manual):
    """With manual optimization nobody else does it."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        optimizer.step()


class CosineOfEpochsSteppedPerBatch(Manual):
    def configure_optimizers(self):
        optimizer = SGD(self.parameters(), lr=0.1)
        return [optimizer], [CosineAnnealingLR(optimizer, T_max=self.trainer.max_epochs)]

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        optimizer.step()
        self.lr_schedulers().step()


class Rounded(Small):
    """Features in steps of a quarter: the slope of `round` is 0."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head((4 * self.features(images)).round() / 4)


class LossTimesZero(Small):
    """Weight decay changes the weights, and nothing else does."""

    def training_step(self, batch, batch_idx):
        return 0 * super().training_step(batch, batch_idx)

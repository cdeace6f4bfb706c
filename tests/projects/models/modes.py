"""Modules that train in eval mode, are evaluated in train mode, or are frozen by half."""

from typing import Any

import torch
from my_project.models.small import Small
from torch import Tensor, nn
from torch.nn import functional as F


class EvalInInit(Small):
    """Lightning trains a model in the mode that it finds."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.eval()


class FeaturesInEvalMode(Small):
    """Frozen, somebody thought; the weights are trained all the same."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.features.eval()


class DropoutSwitchedOff(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.dropout = nn.Dropout(0.3)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.dropout.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images)))


class EvalInTrainingStep(Small):
    """The predictions of the moment, without dropout; train mode does not come back."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.eval()
        with torch.no_grad():
            self.confidence = self(batch[0]).softmax(dim=1).amax(dim=1).mean()
        return loss


class FrozenButItsNormalisation(Small):
    """requires_grad stops the weights; the running mean and variance move on."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.features.requires_grad_(False)


class FrozenByAnOverrideThatNobodyCalls(FrozenButItsNormalisation):
    """Lightning does not call `train()` before training: until the first validation ends, batch norm moves on."""

    def train(self, mode: bool = True):
        super().train(mode)
        self.features.eval()
        return self


class TrainInValidationStep(Small):
    def validation_step(self, batch, batch_idx):
        self.train()
        super().validation_step(batch, batch_idx)


class TrainInTestStep(Small):
    def test_step(self, batch, batch_idx):
        self.train()
        super().test_step(batch, batch_idx)


class EvalHookOverridden(Small):
    def on_validation_model_eval(self) -> None:
        pass


class TrainNotRestored(Small):
    def on_validation_model_train(self) -> None:
        pass


class EvalAfterValidation(Small):
    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.train()

    def on_validation_end(self) -> None:
        self.features[2].train()

    def on_validation_model_train(self) -> None:
        self.features.train()


class DropoutAlwaysOn(Small):
    """The default of `training` is True, whatever mode the model is in."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.dropout(self.features(images), 0.3))  # here


class DropoutMadeInForward(Small):
    """A new module is in train mode."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(nn.Dropout(0.3)(self.features(images)))  # here


class NoiseAlwaysOn(Small):
    """Meant to regularise; no `if self.training`."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + 0.3 * torch.randn_like(images))  # here


class GradientsInValidation(Small):
    @torch.enable_grad()
    def validation_step(self, batch, batch_idx):  # here
        super().validation_step(batch, batch_idx)


class GradientsInTest(Small):
    def on_test_epoch_start(self) -> None:
        torch.set_grad_enabled(True)


class EvalAfterTheFirstEpoch(Small):
    """A picture of the weights at the end of each epoch; Lightning calls train() only after its own evaluations."""

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.eval()
        with torch.no_grad():
            self.example = self(torch.zeros(1, 1, 8, 8))

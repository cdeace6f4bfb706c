"""Gradients clipped at a wrong moment."""

from typing import Any

import torch
from my_project.models.small import Manual, Small
from torch.nn.utils import clip_grad_norm_, clip_grad_value_


class ClippedAfterTheStep(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        optimizer.step()
        clip_grad_norm_(self.parameters(), max_norm=1.0)  # here


class ClippedBeforeBackward(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = self.loss_of(batch)
        self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")  # here
        self.manual_backward(loss)
        optimizer.step()


class ScaledGradientsClipped(Manual):
    """Gradients of a loss that a GradScaler has multiplied by 65 536."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.scaler = torch.amp.GradScaler("cpu")

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        self.scaler.scale(self.loss_of(batch)).backward()
        clip_grad_norm_(self.parameters(), max_norm=1.0)  # here
        self.scaler.step(optimizer)
        self.scaler.update()


class ClippedInTheTrainingStep(Small):
    """With automatic optimization backward comes when training_step has returned."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        torch.nn.utils.clip_grad_norm_(self.parameters(), max_norm=1.0)  # here
        return loss


class ClippedAtTheEndOfTheBatch(Small):
    def on_train_batch_end(self, outputs, batch, batch_idx):
        clip_grad_value_(self.parameters(), clip_value=0.1)  # here

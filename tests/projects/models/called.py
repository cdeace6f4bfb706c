"""Modules whose forward is called directly, past every hook, past compile and past mixed precision."""

from typing import Any

import torch
from my_project.models.small import Small
from torch import Tensor, nn


class ForwardInTrainingStep(Small):
    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = self.loss(self.forward(images), labels)  # here
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class ForwardOfALayer(Small):
    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features.forward(images))  # here


class ForwardInValidationStepOnly(Small):
    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self.forward(images)  # here
        self.val_metrics.update(logits, labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))


class ForwardAfterTheTrainingBatch(Small):
    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        self.confidence = self.forward(batch[0]).softmax(dim=1).max().item()  # here


class ForwardAfterTheValidation(Small):
    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.confidence = self.forward(torch.zeros(2, 1, 8, 8)).softmax(dim=1).max().item()  # here


class ForwardOfALayerInALoop(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        for block in self.blocks:
            features = block.forward(features)  # here
        return self.head(features)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 32)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layer(features).relu()


class ForwardOfTheLoss(Small):
    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = self.loss.forward(self(images), labels)  # here
        self.train_loss.update(loss, num_samples=len(labels))
        return loss

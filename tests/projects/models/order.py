"""Steps in a wrong order: zero_grad, backward, step."""

from typing import Any

import torch
from my_project.models.small import Manual, Small
from torch import nn
from torch.nn import functional as F


class NeverCleared(Manual):
    def training_step(self, batch, batch_idx):
        self.manual_backward(self.loss_of(batch))
        self.optimizers().step()  # here


class ClearedOncePerEpoch(Manual):
    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        self.optimizers().zero_grad()

    def training_step(self, batch, batch_idx):
        self.manual_backward(self.loss_of(batch))
        self.optimizers().step()  # here


class NeverClearedInPlainTorch(Manual):
    """The optimizer and the backward of torch itself, without Lightning's."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers(use_pl_optimizer=False)
        loss = self.loss_of(batch)
        loss.backward()
        optimizer.step()  # here


class ClearedBetweenBackwardAndStep(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.loss_of(batch))
        optimizer.zero_grad()  # here
        optimizer.step()  # here


class StepBeforeBackward(Manual):
    """The gradients of one batch are thrown away when the next one comes."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()  # here
        loss = self.loss_of(batch)
        optimizer.step()  # here
        self.manual_backward(loss)


class StepWithThePreviousBatch(Manual):
    """Each step is one batch late."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        loss = self.loss_of(batch)
        optimizer.step()  # here
        optimizer.zero_grad()
        self.manual_backward(loss)


class SteppedTwice(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        optimizer.step()
        optimizer.step()  # here


class StepLeftOut(Manual):
    def training_step(self, batch, batch_idx):  # here
        self.optimizers().zero_grad()
        self.manual_backward(self.loss_of(batch))


class AccumulationThatClears(Manual):
    """Four batches are meant to make a step, and three of them are thrown away."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()  # here
        self.manual_backward(self.loss_of(batch) / 4)
        if (batch_idx + 1) % 4 == 0:
            optimizer.step()


class AccumulationThatNeverClears(Manual):
    def training_step(self, batch, batch_idx):
        self.manual_backward(self.loss_of(batch) / 4)
        if (batch_idx + 1) % 4 == 0:
            self.optimizers().step()  # here


class OwnLoopNeverCleared(Manual):
    """The optimizer is the model's own, unknown to Lightning."""

    def on_fit_start(self):
        self.own = torch.optim.SGD(self.parameters(), lr=0.1)

    def configure_optimizers(self) -> None:
        return None

    def training_step(self, batch, batch_idx):
        self.loss_of(batch).backward()
        self.own.step()  # here


class ZeroGradOverridden(Small):
    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):  # here
        pass


class ClearedAfterBackward(Small):
    def on_after_backward(self):
        self.zero_grad()  # here


class ClearedBeforeTheStep(Small):
    def on_before_optimizer_step(self, optimizer):
        optimizer.zero_grad()  # here


class StepOverriddenToComeFirst(Small):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        optimizer.step()  # here
        optimizer_closure()  # here


class StepOverriddenToComeTwice(Small):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        optimizer.step(closure=optimizer_closure)
        optimizer.step()  # here


class EverySecondBatchThrownAway(Small):
    """Meant as accumulation, but the closure clears the gradients first."""

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        if batch_idx % 2 == 1:
            optimizer.step(closure=optimizer_closure)  # here
        else:
            optimizer_closure()  # here


class Gan(Manual):
    """A generator of images and a discriminator; `forward` classifies, so that there is something to evaluate."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())
        self.discriminator = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(), nn.Linear(32, 1))
        self.features.requires_grad_(False).eval()
        self.head.requires_grad_(False)

    def configure_optimizers(self):
        return [
            torch.optim.Adam(self.generator.parameters(), lr=1e-3),
            torch.optim.Adam(self.discriminator.parameters(), lr=1e-3),
        ]

    def judge(self, images, real):
        logits = self.discriminator(images.flatten(start_dim=1))
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))

    def generator_loss(self, images):
        loss = self.judge(self.generator(torch.randn(len(images), 8)), 1.0)
        self.train_loss.update(loss, num_samples=len(images))
        return loss

    def discriminator_loss(self, images):
        fakes = self.generator(torch.randn(len(images), 8)).detach()
        return self.judge(images, 1.0) + self.judge(fakes, 0.0)


class GanStepsTheWrongOptimizer(Gan):
    def training_step(self, batch, batch_idx):
        images, _ = batch
        generator, discriminator = self.optimizers()
        generator.zero_grad()
        self.manual_backward(self.generator_loss(images))
        generator.step()
        discriminator.zero_grad()
        self.manual_backward(self.discriminator_loss(images))
        generator.step()  # here


class GanClearsTheWrongOptimizer(Gan):
    """The discriminator also gets the gradients of the generator's loss, of all batches."""

    def training_step(self, batch, batch_idx):
        images, _ = batch
        generator, discriminator = self.optimizers()
        generator.zero_grad()
        self.manual_backward(self.generator_loss(images))
        generator.step()
        generator.zero_grad()
        self.manual_backward(self.discriminator_loss(images))
        discriminator.step()  # here


class GanStepsTheGeneratorLate(Gan):
    """The generator's gradients are cleared before they are used."""

    def training_step(self, batch, batch_idx):
        images, _ = batch
        generator, discriminator = self.optimizers()
        self.manual_backward(self.generator_loss(images))
        generator.zero_grad()  # here
        discriminator.zero_grad()
        self.manual_backward(self.discriminator_loss(images))
        discriminator.step()
        generator.step()  # here


class LossReturnedInManualMode(Manual):
    """As if Lightning did the rest."""

    def training_step(self, batch, batch_idx):  # here
        return self.loss_of(batch)

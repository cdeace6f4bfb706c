"""Manual optimization as it should be."""

from typing import Any

import torch
from my_project.models.order import Gan
from my_project.models.small import Manual
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_


class Plain(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        optimizer.step()


class ClearsAtTheEnd(Manual):
    """zero_grad after the step is as good as before backward; a scheduler steps by hand."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        steps = 12 * self.trainer.max_epochs
        return [optimizer], [torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)]

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.loss_of(batch))
        optimizer.step()
        optimizer.zero_grad()
        self.lr_schedulers().step()


class PlainTorch(Manual):
    """Torch's own optimizer and backward; the model clears the gradients."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers(use_pl_optimizer=False)
        self.zero_grad()
        self.loss_of(batch).backward()
        optimizer.step()


class GradientsSetToNone(Manual):
    def training_step(self, batch, batch_idx):
        for weight in self.parameters():
            weight.grad = None
        self.manual_backward(self.loss_of(batch))
        self.optimizers().step()


class Accumulated(Manual):
    """A step for every four batches."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.loss_of(batch) / 4)
        if (batch_idx + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()


class AccumulatedOverManyBatches(Manual):
    """Longer than most checks look."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.loss_of(batch) / 12)
        if (batch_idx + 1) % 12 == 0:
            optimizer.step()
            optimizer.zero_grad()


class TwoLosses(Manual):
    """Two backward passes for one step."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        self.manual_backward(1e-4 * sum(weight.square().sum() for weight in self.parameters()))
        optimizer.step()


class Scaled(Manual):
    """A GradScaler whose gradients are unscaled before they are clipped."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        self.scaler.scale(self.loss_of(batch)).backward()
        self.scaler.unscale_(optimizer)
        clip_grad_norm_(self.parameters(), max_norm=1.0)
        self.scaler.step(optimizer)
        self.scaler.update()


class ScaledTooFar(Scaled):
    """The first steps overflow in float16, for some parameters: the scaler leaves them out and lowers the scale."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22)

    def loss_of(self, batch):
        with torch.autocast("cpu", torch.float16):
            return super().loss_of(batch)


class ScaledTooFarAccumulated(ScaledTooFar):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers(use_pl_optimizer=False)
        self.scaler.scale(self.loss_of(batch) / 2).backward()
        if batch_idx % 2:
            self.scaler.unscale_(optimizer)
            clip_grad_norm_(self.parameters(), max_norm=1.0)
            self.scaler.step(optimizer)
            self.scaler.update()
            optimizer.zero_grad()


class ScaledTooFarAndFused(ScaledTooFar):
    """The fused optimizer unscales the gradients itself, and itself leaves out the step."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        self.scaler.scale(self.loss_of(batch)).backward()
        self.scaler.step(optimizer)
        self.scaler.update()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3, fused=True)


class Lbfgs(Manual):
    """The optimizer calls the closure several times a step."""

    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss_of(batch)
            self.manual_backward(loss)
            return loss

        optimizer.step(closure)


class SharpnessAware(Manual):
    """SAM: backward, a step uphill by hand, backward there, and one step of the optimizer from where it was."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        uphill = [0.05 * weight.grad for weight in self.parameters()]
        self.move(uphill, 1)
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        self.move(uphill, -1)
        optimizer.step()

    @torch.no_grad()
    def move(self, uphill: list[Tensor], sign: int) -> None:
        for weight, change in zip(self.parameters(), uphill, strict=True):
            weight.add_(change, alpha=sign)


class GradientPenalty(Manual):
    """The gradient of the loss with respect to the images is a part of the loss."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        optimizer = self.optimizers()
        images = images.clone().requires_grad_()
        loss = self.loss_of((images, labels))
        (slope,) = torch.autograd.grad(loss, images, create_graph=True)
        optimizer.zero_grad()
        self.manual_backward(loss + 10 * slope.square().sum())
        optimizer.step()


class HeadEverySecondBatch(Manual):
    """Two optimizers of two parts, one of which steps less often."""

    def configure_optimizers(self):
        return [torch.optim.SGD(self.features.parameters(), lr=0.1), torch.optim.SGD(self.head.parameters(), lr=0.1)]

    def training_step(self, batch, batch_idx):
        features, head = self.optimizers()
        features.zero_grad()
        self.manual_backward(self.loss_of(batch))
        features.step()
        if batch_idx % 2 == 1:
            head.step()
            head.zero_grad()


class HealthyGan(Gan):
    """The generator's loss leaves gradients in the discriminator, which clears them before its own."""

    def training_step(self, batch, batch_idx):
        images, _ = batch
        generator, discriminator = self.optimizers()
        generator.zero_grad()
        self.manual_backward(self.generator_loss(images))
        generator.step()
        discriminator.zero_grad()
        self.manual_backward(self.discriminator_loss(images))
        discriminator.step()


class GanWithToggle(Gan):
    def training_step(self, batch, batch_idx):
        images, _ = batch
        generator, discriminator = self.optimizers()
        self.toggle_optimizer(generator)
        self.manual_backward(self.generator_loss(images))
        generator.step()
        generator.zero_grad()
        self.untoggle_optimizer(generator)
        self.toggle_optimizer(discriminator)
        self.manual_backward(self.discriminator_loss(images))
        discriminator.step()
        discriminator.zero_grad()
        self.untoggle_optimizer(discriminator)


class WassersteinGan(Gan):
    """The critic steps with every batch, the generator with every third."""

    def training_step(self, batch, batch_idx):
        images, _ = batch
        generator, critic = self.optimizers()
        critic.zero_grad()
        self.manual_backward(self.discriminator_loss(images))
        critic.step()
        with torch.no_grad():
            for weight in self.discriminator.parameters():
                weight.clamp_(-0.5, 0.5)
        if (batch_idx + 1) % 3 == 0:
            generator.zero_grad()
            self.manual_backward(self.generator_loss(images))
            generator.step()


class GanClearsBothAtOnce(Gan):
    """And once more for the generator."""

    def training_step(self, batch, batch_idx):
        images, _ = batch
        generator, discriminator = self.optimizers()
        generator.zero_grad()
        discriminator.zero_grad()
        self.manual_backward(self.discriminator_loss(images))
        discriminator.step()
        generator.zero_grad()
        self.manual_backward(self.generator_loss(images))
        generator.step()


class Alternating(Manual):
    """Two optimizers in turn, an epoch-like phase of three batches each."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.gate = nn.Parameter(torch.ones(32))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images) * self.gate)

    def configure_optimizers(self):
        body = [*self.features.parameters(), *self.head.parameters()]
        return [torch.optim.SGD(body, lr=0.1), torch.optim.Adam([self.gate], lr=1e-2)]

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()[batch_idx // 3 % 2]
        self.zero_grad()
        self.manual_backward(self.loss_of(batch))
        optimizer.step()


class PerturbationKept(Manual):
    """Free adversarial training (Shafahi et al., 2019): one perturbation lives on from batch to batch."""

    perturbation = None

    def training_step(self, batch, batch_idx):
        images, labels = batch
        optimizer = self.optimizers()
        if self.perturbation is None:
            self.perturbation = torch.zeros_like(images)
        for _ in range(2):
            self.perturbation = self.perturbation[: len(images)].detach().requires_grad_()
            loss = self.loss_of((images + self.perturbation, labels))
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.perturbation = (self.perturbation + 0.02 * self.perturbation.grad.sign()).clamp(-0.1, 0.1)


class LargeGradientsSkipped(Manual):
    """A batch whose gradient is far larger than the others' is left out."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss_of(batch))
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters()])
        if batch_idx % 5 and norm < 100:
            optimizer.step()

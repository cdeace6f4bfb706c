"""A generative adversarial network."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningModule
from my_project.engine.build import Block, build_optimizer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


class GAN(LightningModule):
    """A generator of images and a discriminator that tells them from those of the data.

    Args:
        input_shape: of one image, from the data.
        optimizer: block of the optimizer of both.
        latent: numbers that an image is made from.
    """

    def __init__(self, *, input_shape: Sequence[int], optimizer: Block, latent: int = 16) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        size = math.prod(input_shape)
        self.generator = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, size))
        self.discriminator = nn.Sequential(nn.Linear(size, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, noise: Tensor) -> Tensor:
        """Map noise (B, latent) to images (B, C, H, W)."""
        return self.generator(noise).unflatten(1, tuple(self.hparams.input_shape))

    def score(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B,): above zero when they look real."""
        return self.discriminator(images.flatten(start_dim=1)).squeeze(dim=1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        images, _ = batch
        of_generator, of_discriminator = self.optimizers()
        noise = torch.randn(len(images), self.hparams.latent, device=self.device)

        self.toggle_optimizer(of_generator)
        scores = self.score(self(noise))
        generator_loss = binary_cross_entropy_with_logits(scores, torch.ones_like(scores))
        of_generator.zero_grad()
        self.manual_backward(generator_loss)
        of_generator.step()
        self.untoggle_optimizer(of_generator)

        self.toggle_optimizer(of_discriminator)
        real, fake = self.score(images), self.score(self(noise).detach())
        discriminator_loss = binary_cross_entropy_with_logits(real, torch.ones_like(real))
        discriminator_loss = discriminator_loss + binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
        of_discriminator.zero_grad()
        self.manual_backward(discriminator_loss)
        of_discriminator.step()
        self.untoggle_optimizer(of_discriminator)

        losses = {"train/generator_loss": generator_loss, "train/discriminator_loss": discriminator_loss}
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=len(images))

    def configure_optimizers(self) -> Any:
        parts = (self.generator, self.discriminator)
        return [build_optimizer(self, self.hparams.optimizer, params=part.parameters()) for part in parts]

"""LightningModules that are no Classifier."""

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy


class Autoencoder(LightningModule):
    """No labels, no num_classes, no test_step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.decoder = nn.Linear(16, 64)

    def forward(self, images: Tensor) -> Tensor:
        return self.decoder(self.encoder(images)).sigmoid().view_as(images)

    def training_step(self, batch, batch_idx):
        (images,) = batch
        return F.mse_loss(self(images), images)

    def validation_step(self, batch, batch_idx):
        (images,) = batch
        self.log("val/loss", F.mse_loss(self(images), images), batch_size=len(images))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class VariationalAutoencoder(Autoencoder):
    """Two outputs, random numbers in the middle, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 32))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1).mean()
        return self.decoder(code).view_as(images), divergence

    def training_step(self, batch, batch_idx):
        (images,) = batch
        reconstruction, divergence = self(images)
        return F.binary_cross_entropy_with_logits(reconstruction, images) + 1e-3 * divergence

    def validation_step(self, batch, batch_idx):
        (images,) = batch
        reconstruction, _ = self(images)
        loss = F.binary_cross_entropy_with_logits(reconstruction, images)
        self.log("val/loss", loss, batch_size=len(images))


class Regression(LightningModule):
    """How bright is an image? Labels are floating, and one column is right."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1))
        self.val_error, self.test_error = MeanSquaredError(), MeanSquaredError()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images).squeeze(1)

    def training_step(self, batch, batch_idx):
        images, brightness = batch
        return F.mse_loss(self(images), brightness)

    def validation_step(self, batch, batch_idx):
        images, brightness = batch
        self.val_error.update(self(images), brightness)
        self.log("val/loss", self.val_error)

    def test_step(self, batch, batch_idx):
        images, brightness = batch
        self.test_error.update(self(images), brightness)
        self.log("test/loss", self.test_error)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class PlainClassifier(LightningModule):
    """Twenty lines as in any tutorial; batches may be dicts."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(32), nn.ReLU(), nn.Linear(32, num_classes))
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def training_step(self, batch, batch_idx):
        images, labels = batch.values() if isinstance(batch, dict) else batch
        loss = F.cross_entropy(self(images), labels)
        self.log("train/loss", loss, prog_bar=True)
        return {"loss": loss, "size": len(labels)}

    def validation_step(self, batch, batch_idx):
        images, labels = batch.values() if isinstance(batch, dict) else batch
        logits = self(images)
        self.accuracy(logits, labels)
        self.log("val/accuracy", self.accuracy)
        self.log("val/loss", F.cross_entropy(logits, labels), batch_size=len(labels))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)]

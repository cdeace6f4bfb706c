"""Evaluations that change what they measure, or count wrong."""

from typing import Any

import torch
from my_project.models.small import Small
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MaxMetric
from torchmetrics.classification import MulticlassAccuracy


class OwnRunningMean(Small):
    """Batch norm of one's own, which learns in evaluation too."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.register_buffer("mean", torch.zeros(1, 1, 8, 8))

    def forward(self, images: Tensor) -> Tensor:
        self.mean.lerp_(images.mean(dim=0, keepdim=True), 0.1)
        return super().forward(images - self.mean)


class AverageInForward(Small):
    """A prototype of the features, bound anew at each call."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.register_buffer("prototype", torch.zeros(32))

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        self.prototype = 0.9 * self.prototype + 0.1 * features.detach().mean(dim=0)
        return self.head(features - self.prototype)


class WeightsShrunkInValidation(Small):
    """Regularisation in the wrong hook."""

    @torch.no_grad()
    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.head.weight.mul_(0.9)


class TestUsesTheLabels(Small):
    """The bias is adapted to the frequencies of the test labels while they are counted."""

    def test_step(self, batch, batch_idx):
        super().test_step(batch, batch_idx)
        with torch.no_grad():
            self.head.bias += 0.1 * batch[1].bincount(minlength=self.hparams.num_classes) / len(batch[1])


class MeanOfBatchAccuracies(Small):
    """The last batch is smaller, and counts as much as the others."""

    def on_validation_epoch_start(self) -> None:
        self.accuracies = []

    def validation_step(self, batch, batch_idx):  # here
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        self.accuracies.append((logits.argmax(dim=1) == labels).float().mean())

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)
        self.log("val/accuracy", torch.stack(self.accuracies).mean())  # here


class MeanOfBatchF1(Small):
    """F1 over a split is not the mean of the F1 of its batches."""

    def validation_step(self, batch, batch_idx):  # here
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        f1 = self.val_metrics["f1"].clone()
        self.log("val/f1", f1(logits, labels), on_epoch=True, batch_size=len(labels))  # here

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)


class BestBatchLogged(Small):
    def validation_step(self, batch, batch_idx):  # here
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log("val/accuracy", accuracy, reduce_fx="max")  # here

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)


class NeverReset(Small):
    """A value is logged instead of the metric: nobody resets it, and every epoch adds its samples."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.val_accuracy = MulticlassAccuracy(num_classes=self.hparams.num_classes, average="micro")

    def validation_step(self, batch, batch_idx):  # here
        images, labels = batch
        logits = self(images)
        self.val_accuracy.update(logits, labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)
        self.log("val/accuracy", self.val_accuracy.compute())  # here


class CountedTwice(Small):
    """`metric(x, y)` is an update already."""

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.val_metrics(logits, labels)
        self.val_metrics.update(logits, labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))


class OneMetricForTrainAndVal(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.accuracy = MulticlassAccuracy(num_classes=self.hparams.num_classes, average="micro")

    def training_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.accuracy.update(logits, labels)
        loss = self.loss(logits, labels)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.accuracy.update(logits, labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)
        self.log("val/accuracy", self.accuracy.compute())

    def on_train_epoch_end(self) -> None:
        self.log("train/accuracy", self.accuracy.compute())
        self.accuracy.reset()


class OneCollectionForValAndTest(Small):
    """A name of its own for the same object."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.test_metrics = self.val_metrics
        self.test_loss = self.val_loss


class BestOfTheSanityCheck(Small):
    """The untrained model's accuracy on two batches may stay the best one."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.best_accuracy = MaxMetric()

    def on_validation_epoch_end(self) -> None:
        self.best_accuracy.update(self.val_metrics["accuracy"].compute())
        super().on_validation_epoch_end()
        self.log("val/best_accuracy", self.best_accuracy.compute())


class EntriesOfTheSanityCheck(Small):
    """Losses of all validations, the sanity check's too."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.history = []

    def on_validation_epoch_end(self) -> None:
        self.history.append(self.val_loss.compute().item())
        super().on_validation_epoch_end()
        self.log("val/mean_so_far", sum(self.history) / len(self.history))


class LowestOfTheSanityCheck(Small):
    """A plain number."""

    lowest = float("inf")

    def on_validation_epoch_end(self) -> None:
        self.lowest = min(self.lowest, self.val_loss.compute().item())
        super().on_validation_epoch_end()
        self.log("val/lowest", self.lowest)


class TemperatureNotSaved(Small):
    """A plain number moves with training and is in no checkpoint."""

    temperature = 1.0

    def training_step(self, batch, batch_idx):
        self.temperature *= 1.05
        return super().training_step(batch, batch_idx)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.temperature


class OtherWeightsSaved(Small):
    """The weights that are saved are not those that were validated."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        weights = checkpoint["state_dict"]
        checkpoint["state_dict"] = {
            name: F.normalize(weight, dim=0) if weight.ndim > 1 else weight for name, weight in weights.items()
        }


class MeanOfBatchLosses(Small):
    """The last batch is smaller; by this number the best checkpoint is chosen."""

    def on_validation_epoch_start(self) -> None:
        self.losses = []

    def validation_step(self, batch, batch_idx):  # here
        images, labels = batch
        logits = self(images)
        self.val_metrics.update(logits, labels)
        self.losses.append(self.loss(logits, labels))

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.val_metrics)
        self.log("val/loss", torch.stack(self.losses).mean())  # here


class LastBatchOnly(Small):
    """Under a name of its owner's choice."""

    def validation_step(self, batch, batch_idx):  # here
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        self.accuracy = (logits.argmax(dim=1) == labels).float().mean()

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)
        self.log("dev_acc", self.accuracy)  # here


class SmallBatchLeftOut(Small):
    """Only full batches are counted."""

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        if len(labels) == 90:
            self.val_metrics.update(logits, labels)


class TrainLossOfAllStages(Small):
    """One method for all stages, one metric too."""

    def shared_step(self, batch):
        images, labels = batch
        loss = self.loss(self(images), labels)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss

    def training_step(self, batch, batch_idx):
        return self.shared_step(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.shared_step(batch), batch_size=len(batch[1]))

    def on_validation_epoch_end(self) -> None:
        pass


class HitsOfTheSanityCheck(Small):
    """A tensor that grows with each batch."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.hits = torch.zeros(0)

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))
        self.hits = torch.cat([self.hits, (logits.argmax(dim=1) == labels).float()])

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss)
        self.log("val/hits", self.hits.mean())


class NoiseInAllStages(Small):
    """Augmentation in what all steps share."""

    def logits(self, images: Tensor) -> Tensor:
        return self(images + 0.3 * torch.randn_like(images))

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = self.loss(self.logits(images), labels)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self.logits(images)
        self.val_metrics.update(logits, labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))


class SecondCallForAScore(Small):
    """The model is called again on the same batch, and the score of the last batch is logged."""

    def validation_step(self, batch, batch_idx):  # here
        super().validation_step(batch, batch_idx)
        self.accuracy = (self(batch[0]).argmax(dim=1) == batch[1]).float().mean()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.log("val/acc", self.accuracy)  # here

"""Outputs that are not one logit per class, or not of one sample."""

from typing import Any

import torch
from my_project.models.classifier import Classifier
from my_project.models.small import Small
from torch import Tensor, nn
from torch.nn import functional as F


class HeadOfAnotherTask(Small):
    """The head that came with a pretrained network; evaluation looks at the first ten columns."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.head = nn.Linear(32, 1000)

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.val_metrics.update(logits[:, : self.hparams.num_classes], labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))

    def test_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.test_metrics.update(logits[:, : self.hparams.num_classes], labels)
        self.test_loss.update(self.loss(logits, labels), num_samples=len(labels))


class OneOutputTooMany(HeadOfAnotherTask):
    """Counting from 1, there seemed to be eleven classes."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.head = nn.Linear(32, self.hparams.num_classes + 1)


class RowsOfOtherSamples(Small):
    """`transpose` and `reshape` deal the rows of the images out to other samples."""

    def forward(self, images: Tensor) -> Tensor:
        rows = images.squeeze(1).transpose(0, 1)  # (8, B, 8)
        return super().forward(rows.reshape(len(images), 64))


class SoftmaxOverTheBatch(Small):
    """Attention weights that sum to one over the samples."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.score = nn.Linear(32, 32)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        return self.head(features * self.score(features).softmax(dim=0))


class MeanOfTheBatchSubtracted(Small):
    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        return self.head(features - features.mean(dim=0))


class ScaledByTheBatch(Small):
    """Two standard deviations of whatever else is in the batch."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images - images.mean()) / images.std())


class NormalisedOverTheBatch(Small):
    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.normalize(self.features(images), dim=0))


class NormWithoutRunningStatistics(Small):
    """In eval mode too, the mean and variance are those of the batch."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.features[2] = nn.BatchNorm1d(32, track_running_stats=False)


class LstmAlongTheBatch(Classifier):
    """Without batch_first the samples are the time steps."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.lstm = nn.LSTM(8, 32)
        self.head = nn.Linear(32, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.lstm(images.squeeze(1))  # (B, 8, 8) -> (B, 8, 32)
        return self.head(states[:, -1])


class AttentionAlongTheBatch(Classifier):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.embed = nn.Linear(8, 32)
        self.encoder = nn.TransformerEncoderLayer(32, nhead=2, dim_feedforward=32)
        self.head = nn.Linear(32, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(images.squeeze(1))).mean(dim=1))


class SoftmaxBeforeCrossEntropy(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).softmax(dim=1)


class SoftmaxLayerBeforeCrossEntropy(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.head = nn.Sequential(nn.Linear(32, self.hparams.num_classes), nn.Softmax(dim=-1))


class SigmoidBeforeCrossEntropy(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).sigmoid()


class SoftmaxInTrainingStep(Small):
    """The model gives logits; the step turns them into probabilities for the loss."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.cross_entropy(F.softmax(self(images), dim=1), labels)  # here
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class SigmoidBeforeBceWithLogits(Small):
    """One yes or no for each class, and the loss has its own sigmoid."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        targets = F.one_hot(labels, self.hparams.num_classes).float()
        loss = F.binary_cross_entropy_with_logits(self(images).sigmoid(), targets)  # here
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class LogitsForNegativeLogLikelihood(Small):
    """nll_loss takes logarithms of probabilities."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.nll_loss(self(images), labels)  # here
        self.train_loss.update(loss, num_samples=len(labels))
        return loss


class Confident(Small):
    """The first loss is about 50: the logits start far too large."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        nn.init.normal_(self.head.weight, std=20.0)


class OneClassPreferred(Small):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        with torch.no_grad():
            self.head.bias[0] = 30.0


class LogitsTimesAHundred(Small):
    def forward(self, images: Tensor) -> Tensor:
        return 100 * super().forward(images)


class SigmoidBeforeBceOfOneLogit(Small):
    """Large digits or small ones."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        is_large = self(images)[:, 0].sigmoid()
        loss = F.binary_cross_entropy_with_logits(is_large, (labels > 4).float())  # here
        self.train_loss.update(loss, num_samples=len(labels))
        return loss

"""What the models of the projects begin with: a small classifier, and one with manual optimization."""

from typing import Any

from my_project.models.classifier import Classifier
from my_project.models.supervised import Batch
from torch import Tensor, nn


class Small(Classifier):
    """One hidden layer with batch norm, one linear layer."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(32, self.hparams.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


class Manual(Small):
    """The same, for a training_step that does everything itself."""

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.automatic_optimization = False

    def loss_of(self, batch: Batch) -> Tensor:
        images, labels = batch
        loss = self.loss(self(images), labels)
        self.train_loss.update(loss, num_samples=len(labels))
        return loss

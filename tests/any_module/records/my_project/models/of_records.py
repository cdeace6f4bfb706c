"""A model whose batches are dicts."""

from typing import Any

from lightning import LightningModule
from my_project.engine.build import Block, build_optimizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Record = dict[str, Tensor]


class OfRecords(LightningModule):
    """Numbers and a category, joined, to two classes.

    Args:
        optimizer: block of a torch optimizer.
        scheduler: block of a torch scheduler.
        hidden: units between the two layers.
    """

    def __init__(self, *, optimizer: Block, scheduler: Block | None = None, hidden: int = 32) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.embedding = nn.Embedding(5, 4)
        self.on_numbers = nn.Linear(6, hidden)
        self.on_category = nn.Linear(4, hidden)
        self.head = nn.Linear(hidden, 2)

    def forward(self, record: Record) -> Tensor:
        """Map numbers (B, 6), float32, and categories (B,), int64, to logits (B, 2)."""
        hidden = self.on_numbers(record["numbers"]) + self.on_category(self.embedding(record["category"]))
        return self.head(hidden.relu())

    def training_step(self, batch: Record, batch_idx: int) -> Tensor:
        loss = cross_entropy(self(batch), batch["label"])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Record, batch_idx: int) -> None:
        logits = self(batch)
        size = len(batch["label"])
        self.log("val_loss", cross_entropy(logits, batch["label"]), batch_size=size)
        self.log("val_accuracy", (logits.argmax(dim=1) == batch["label"]).float().mean(), batch_size=size)

    def test_step(self, batch: Record, batch_idx: int) -> None:
        correct = (self(batch).argmax(dim=1) == batch["label"]).float()
        self.log("test_accuracy", correct.mean(), batch_size=len(correct))

    def configure_optimizers(self) -> Any:
        return build_optimizer(self, self.hparams.optimizer, self.hparams.scheduler)

"""What every classifier shares: loss, metrics, the three steps, optimizer and scheduler."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.nn.parameter import is_lazy
from torchmetrics import MetricCollection

from <<cookiecutter.package>>.engine.build import SCHEDULER_KEYS, build
from <<cookiecutter.package>>.models.mean_loss import MeanLoss

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W), float32, and labels (B,), int64
Block = dict[str, Any]  # a `_target_` and its arguments, as in configs/


class Classifier(LightningModule):
    """A model that maps images to one logit per class; a subclass defines its layers and `forward`.

    All arguments are plain data and are saved in every checkpoint, so `load_from_checkpoint(path)` is enough.

    Args:
        num_classes: number of logits, from the data.
        input_shape: (C, H, W) of one image, from the data.
        loss: block of a module that maps logits (B, num_classes) and labels (B,) to a scalar.
        metrics: blocks of torchmetrics, by name.
        optimizer: block of a torch optimizer.
        scheduler: block of a torch scheduler and its `interval`; None or empty keeps the learning rate.
        compile: run the model through torch.compile while training and evaluating.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        input_shape: tuple[int, int, int],
        loss: Block,
        metrics: dict[str, Block],
        optimizer: Block,
        scheduler: Block | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.loss = build(loss)
        # Each stage has metrics of its own: a shared object would mix their samples.
        self.train_loss, self.val_loss, self.test_loss = MeanLoss(), MeanLoss(), MeanLoss()
        # The labels are checked once, by engine/checks, not in every batch.
        offered = {"num_classes": num_classes, "validate_args": False}
        measures = MetricCollection({name: build(block, **offered) for name, block in metrics.items()})
        self.val_metrics = measures.clone(prefix="val/")
        self.test_metrics = measures.clone(prefix="test/")

    def setup(self, stage: str) -> None:
        if len(self.hparams.input_shape) == 3 and not any(map(is_lazy, self.parameters())):
            self.to(memory_format=torch.channels_last)  # convolutions: a fifth faster on a CPU, made for a GPU
        if self.hparams.compile and self._compiled_call_impl is None:
            self.compile()  # in place: the keys of the checkpoint stay the same

    def on_train_epoch_start(self) -> None:
        self.log("train/loss", self.train_loss)  # Lightning computes it at the end of the epoch, then resets it

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels = batch
        loss = self.loss(self(images), labels)
        self.train_loss.update(loss, num_samples=len(labels))
        # A log call costs about a millisecond: only on the steps that are written.
        if (self.global_step + 1) % (self.trainer.log_every_n_steps or float("inf")) == 0:
            lr = self.trainer.optimizers[0].param_groups[0]["lr"]
            self.log_dict({"train/loss_step": loss.detach(), "lr": lr})
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        logits = self(images)
        self.val_metrics.update(logits, labels)
        self.val_loss.update(self.loss(logits, labels), num_samples=len(labels))

    def on_validation_epoch_end(self) -> None:
        self.log_split("val", self.val_loss, self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        logits = self(images)
        self.test_metrics.update(logits, labels)
        self.test_loss.update(self.loss(logits, labels), num_samples=len(labels))

    def on_test_epoch_end(self) -> None:
        self.log_split("test", self.test_loss, self.test_metrics)

    def log_split(self, split: str, loss: MeanLoss, metrics: MetricCollection) -> None:
        """Log the metrics of a whole split and the number of samples behind them."""
        self.log(f"{split}/loss", loss)
        self.log_dict(metrics)
        self.log(f"{split}/num_samples", loss.num_samples.float(), reduce_fx="sum", sync_dist=True, logger=False)

    def parameter_groups(self) -> Iterable[Any]:
        """Return what the optimizer updates: parameters, or groups of them with an `lr` of their own."""
        return self.parameters()

    def configure_optimizers(self) -> Any:
        fused = not self.trainer.precision.endswith("mixed")  # Lightning cannot clip the gradients of both
        optimizer = build(self.hparams.optimizer, params=self.parameter_groups(), fused=fused)
        if not self.hparams.scheduler:
            return optimizer
        block = dict(self.hparams.scheduler)
        settings = {key: block.pop(key) for key in SCHEDULER_KEYS & block.keys()}
        max_lr = [group["lr"] for group in optimizer.param_groups]
        total_steps = self.trainer.estimated_stepping_batches
        scheduler = build(block, optimizer=optimizer, max_lr=max_lr, total_steps=total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, **settings}}

"""What every model shares that learns from targets: loss, metrics, the steps, optimizer and scheduler."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from lightning import LightningModule
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torchmetrics import Metric, MetricCollection

from <<cookiecutter.package>>.engine.build import Block, build, build_optimizer
from <<cookiecutter.package>>.models.mean_loss import MeanLoss

Batch = tuple[Tensor, ...]  # one input or more, each (B, ...), and the targets (B, ...) last


class Supervised(LightningModule):
    """A model that maps inputs to outputs which a loss compares with targets; a subclass defines layers and `forward`.

    The inputs of a batch are handed to `forward` in their order: `model(images)`, `model(numbers, codes)`. A batch of
    another form is for a subclass that overrides the steps. All arguments are plain data and are saved in every
    checkpoint, so `load_from_checkpoint(path)` is enough.

    Args:
        loss: block of a module that maps outputs and targets to a scalar.
        metrics: blocks of torchmetrics, by name; each has its own state in each stage.
        optimizer: block of a torch optimizer.
        scheduler: block of a torch scheduler and its `interval`; None or empty keeps the learning rate.
        compile: run the model through torch.compile while training and evaluating.
    """

    loss: nn.Module

    def __init__(
        self,
        *,
        loss: Block,
        optimizer: Block,
        metrics: dict[str, Block] | None = None,
        scheduler: Block | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.loss = build(loss)
        # Each stage has metrics of its own: a shared object would mix their samples.
        self.train_loss, self.val_loss, self.test_loss = MeanLoss(), MeanLoss(), MeanLoss()
        # The targets are checked once, by engine/checks, not in every batch.
        offered = {"validate_args": False} | {k: v for k, v in self.hparams.items() if k == "num_classes"}
        measures = {name: build(block, **offered) for name, block in (metrics or {}).items()}
        # The last value of each metric of many numbers: a confusion matrix, one of each class.
        self.of_many_numbers: dict[str, Any] = {}
        # Without groups: torchmetrics joins metrics whose states are equal after one batch, and then counts wrong.
        self.val_metrics = MetricCollection(measures, prefix="val/", compute_groups=False)
        self.test_metrics = self.val_metrics.clone(prefix="test/")

    @property
    def lr(self) -> float:
        """The optimizer's learning rate, where Lightning's learning-rate finder looks for it."""
        return self.hparams.optimizer["lr"]

    @lr.setter
    def lr(self, lr: float) -> None:
        self.hparams.optimizer["lr"] = lr

    def setup(self, stage: str) -> None:
        for module in self.modules():
            if isinstance(module, Metric):
                module.reset()  # the processes of ddp_spawn begin with states in one memory
        if len(self.hparams.get("input_shape") or ()) == 3 and not any(map(is_lazy, self.parameters())):
            self.to(memory_format=torch.channels_last)  # convolutions: a fifth faster on a CPU, made for a GPU
        if self.hparams.compile and self._compiled_call_impl is None:
            self.compile()  # in place: the keys of the checkpoint stay the same

    def on_train_epoch_start(self) -> None:
        self.log("train/loss", self.train_loss)  # Lightning computes it at the end of the epoch, then resets it

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        *inputs, targets = batch
        loss = self.loss(self(*inputs), targets)
        self.train_loss.update(loss, num_samples=len(targets))
        # A log call costs about a millisecond: only on the steps that are written.
        if (self.global_step + 1) % (self.trainer.log_every_n_steps or float("inf")) == 0:
            lr = self.trainer.optimizers[0].param_groups[0]["lr"]
            self.log_dict({"train/loss_step": loss.detach(), "lr": lr})
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        *inputs, targets = batch
        outputs = self(*inputs)
        self.val_metrics.update(outputs, targets)
        self.val_loss.update(self.loss(outputs, targets), num_samples=len(targets))
        return outputs

    def on_validation_epoch_end(self) -> None:
        self.log_split("val", self.val_loss, self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        *inputs, targets = batch
        outputs = self(*inputs)
        self.test_metrics.update(outputs, targets)
        self.test_loss.update(self.loss(outputs, targets), num_samples=len(targets))
        return outputs

    def on_test_epoch_end(self) -> None:
        self.log_split("test", self.test_loss, self.test_metrics)

    def predict_step(self, batch: Tensor | Batch, batch_idx: int) -> Tensor:
        """Return the outputs (B, ...) for a batch of inputs; targets behind them are left out."""
        num_inputs = len(inspect.signature(self.forward).parameters)
        return self(batch) if isinstance(batch, Tensor) else self(*batch[:num_inputs])

    def log_split(self, split: str, loss: MeanLoss, metrics: MetricCollection) -> None:
        """Log the metrics of a whole split and the number of samples behind them; keep those of many numbers aside."""
        self.log(f"{split}/loss", loss)
        for name, metric in metrics.items():
            value = metric.compute()  # kept by the metric: Lightning does not compute it again
            if isinstance(value, Tensor) and value.numel() == 1:
                self.log(name, metric)
            else:
                self.of_many_numbers[name] = apply_to_collection(value, Tensor, Tensor.tolist)
                metric.reset()
        self.log(f"{split}/num_samples", loss.num_samples.float(), reduce_fx="sum", sync_dist=True, logger=False)

    def parameter_groups(self) -> Iterable[Any]:
        """Return what the optimizer updates: parameters, or groups of them with an `lr` of their own."""
        return self.parameters()

    def configure_optimizers(self) -> Any:
        return build_optimizer(self, self.hparams.optimizer, self.hparams.scheduler, params=self.parameter_groups())

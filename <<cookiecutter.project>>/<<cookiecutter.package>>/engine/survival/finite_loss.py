"""Stop a run whose loss is not finite, before it spoils a checkpoint."""

import math
from collections import deque
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from <<cookiecutter.package>>.engine.errors import TrainingError
from <<cookiecutter.package>>.engine.survival.durable_file import replacing


class FiniteLoss(Callback):
    """Stop at the first loss that is NaN or infinite and write the batch it came from to a file.

    On one GPU the loss is read when it has arrived, a few steps later, so that no step waits for it. No checkpoint is
    written in between with weights that are not finite. Several processes stop together.

    Args:
        path: file for the batch: `torch.load(path)` returns a dict with batch, batch_idx, epoch and loss.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.unread: deque[tuple[Tensor, torch.cuda.Event | None, dict[str, Any]]] = deque()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.step = {"batch": batch, "batch_idx": batch_idx, "epoch": trainer.current_epoch}

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        loss, arrived = loss.detach(), None
        if loss.is_cuda and trainer.world_size == 1:
            loss = torch.empty_like(loss, device="cpu", pin_memory=True).copy_(loss, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self.unread.append((loss, arrived, self.step))
        while self.unread and (self.unread[0][1] is None or self.unread[0][1].query()):
            self.read(trainer)

    def read(self, trainer: Trainer) -> None:
        """Look at the oldest loss that has not been looked at."""
        loss, arrived, step = self.unread.popleft()
        if arrived is not None:
            arrived.synchronize()
        value = loss.item()
        if trainer.strategy.reduce_boolean_decision(math.isfinite(value)):  # in all processes
            return
        if math.isfinite(value):
            raise TrainingError("the loss is not finite in another process, whose message says more")
        path = self.path.with_stem(f"{self.path.stem}_{trainer.global_rank}") if trainer.global_rank else self.path
        with replacing(path) as file:
            torch.save({**step, "loss": value}, file)
        raise TrainingError(
            f"the loss is {value} in epoch {step['epoch'] + 1}, batch {step['batch_idx']}. {path} holds the batch; "
            "the checkpoints are from before. Look for bad values in it, lower optimizer.lr, or set trainer.gradient_clip_val"
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        while self.unread:
            self.read(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.on_train_end(trainer, pl_module)
        largest = torch.nn.utils.get_total_norm(pl_module.parameters(), norm_type=math.inf)
        if not largest.isfinite():
            raise TrainingError(
                f"the weights are not finite after step {trainer.global_step}, though the loss was: the update spoiled them. "
                "The checkpoints are from before. Lower optimizer.lr, or set trainer.gradient_clip_val"
            )

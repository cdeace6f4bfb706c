"""When to save a checkpoint: best.ckpt and last.ckpt."""

import math
from typing import Any, Literal

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.survival.durable_file import copy_file
from <<cookiecutter.package>>.engine.survival.loops import StepCallback
from <<cookiecutter.package>>.engine.targets import did_you_mean

Mode = Literal["auto", "min", "max"]


class BestAndLast(StepCallback, Checkpoint):
    """Save last.ckpt after every epoch, and best.ckpt whenever the monitored metric is better than ever.

    Both are saved between two steps and hold the whole run; they are two files, always of these names.

    Args:
        dirpath: folder of the two files.
        monitor: metric that makes a checkpoint the best; None saves no best.ckpt.
        mode: min or max, which of two values of the metric is better; run.py hands over which one auto is.
        every_n_train_steps: save last.ckpt also within an epoch, after so many optimizer steps; None does not.
    """

    def __init__(
        self, dirpath: str, monitor: str | None = None, mode: Mode = "auto", every_n_train_steps: int | None = None
    ) -> None:
        if every_n_train_steps is not None and every_n_train_steps < 1:
            raise ConfigError(f"every_n_train_steps must be null or at least 1, got {every_n_train_steps}")
        self.monitor, self.mode, self.every_n_train_steps = monitor, mode, every_n_train_steps
        self.best_model_path, self.last_model_path = f"{dirpath}/best.ckpt", f"{dirpath}/last.ckpt"
        self.best_model_score: float | None = None
        self.best_epoch: int | None = None  # counted from 1
        self.best_step: int | None = None  # optimizer steps before it
        self.validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = not trainer.sanity_checking

    def between_steps(self, trainer: Trainer, *, epoch_ended: bool, stopping: bool = False) -> None:
        """Save what is due: best before last, so that last never knows of a best that is not on the disk."""
        improved = (epoch_ended or self.validated) and self.has_improved(trainer, epoch_ended)
        if improved:
            trainer.save_checkpoint(self.best_model_path)
        within_epoch = self.every_n_train_steps and trainer.global_step % self.every_n_train_steps == 0
        if epoch_ended or within_epoch or stopping:
            if improved:
                copy_file(self.best_model_path, self.last_model_path)
                trainer.strategy.barrier()
            else:
                trainer.save_checkpoint(self.last_model_path)

    def has_improved(self, trainer: Trainer, epoch_ended: bool) -> bool:
        """Say whether the monitored metric is the best so far, and remember it."""
        if self.monitor is None:
            return False
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            if not (epoch_ended and self.validated):  # a metric of the training epoch comes at its end
                return False
            near = did_you_mean(self.monitor, metrics)
            raise ConfigError(f"monitor={self.monitor} is not logged{near}\nThere are: {', '.join(metrics)}")
        self.validated = False
        score, best = metrics[self.monitor].item(), self.best_model_score
        better = math.isfinite(score) and (best is None or (score > best if self.mode == "max" else score < best))
        better = trainer.strategy.reduce_boolean_decision(better)  # a save needs every process
        if better:
            self.best_model_score = score
            self.best_epoch, self.best_step = trainer.current_epoch + (not epoch_ended), trainer.global_step
        return better

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Name the class of the model: with it the checkpoint alone is enough."""
        checkpoint["model_target"] = f"{type(pl_module).__module__}.{type(pl_module).__qualname__}"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitor and self.monitor not in trainer.callback_metrics:
            names = ", ".join(trainer.callback_metrics) or "none"
            say(f"monitor={self.monitor} was never logged, so there is no best.ckpt. Logged were: {names}")

    def state_dict(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("best_model_score", "best_epoch", "best_step")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

"""A fit of two epochs or some seconds, planned like the whole run, for the checks of every run to watch."""

import time
from typing import Any

from lightning import Callback, LightningDataModule, LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor

from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.results import best_checkpoint
from <<cookiecutter.package>>.engine.survival.checkpoints import load_weights
from <<cookiecutter.package>>.engine.survival.loops import use_step_callbacks

from .finding import Finding, Findings, definition
from .in_every_run import TrainingChecks
from .trial import NOT_HERE, callbacks, loggers, trainer_block

NUM_EPOCHS, FIT_SECONDS, EVALUATION_BATCHES = 2, 10.0, 100


class StopSoon(Callback):
    """End the fit after some epochs or seconds; until then everything is as planned for the whole run."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.last_epoch = trainer.current_epoch + NUM_EPOCHS - 1
        self.num_batches = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.num_batches == 0:  # the first one may have waited for torch.compile
            self.deadline = time.perf_counter() + FIT_SECONDS
        self.num_batches += 1
        if self.num_batches >= 4 * trainer.accumulate_grad_batches and time.perf_counter() > self.deadline:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or trainer.current_epoch >= self.last_epoch


class FiniteLosses(Callback):
    """(9) Every loss is finite, also after the first steps."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        known = any(finding.rule == "loss" for finding in self.findings.found)
        if not known and not loss.isfinite().all():
            where = definition(pl_module, "training_step")
            what = f"the loss is {loss.mean().item()} in step {trainer.global_step + 1}"
            remedy = "look for log(0), division by 0 and bad inputs; lower optimizer.lr; set trainer.gradient_clip_val"
            self.findings.report([Finding("loss", where, what, "every weight becomes NaN in the next step", remedy)])


def fit_block(cfg: DictConfig) -> dict[str, Any]:
    """Return the block of a trainer that is planned like the run, validates in each epoch, and not on very much data."""
    block = trainer_block(cfg)
    every = block.get("check_val_every_n_epoch", 1)
    limits = {f"limit_{split}_batches": EVALUATION_BATCHES for split in ("val", "test")}
    return limits | block | {"check_val_every_n_epoch": every and 1}


def fit_and_test(cfg: DictConfig, data: LightningDataModule, model: LightningModule, checks: TrainingChecks) -> Trainer:
    """Fit for a short time and test, as train.py does, and let the checks of every run watch."""
    trainer = build(
        fit_block(cfg),
        callbacks=[*callbacks(cfg, NOT_HERE), checks, FiniteLosses(checks.findings), StopSoon()],
        logger=loggers(cfg),
        enable_checkpointing=bool(cfg.callbacks.get("checkpoint")),
        enable_progress_bar=False,
        default_root_dir=cfg.run_dir,
    )
    use_step_callbacks(trainer)
    trainer.fit(model, datamodule=data)
    best, _ = best_checkpoint(trainer)
    if cfg.test:
        if best:
            load_weights(model, best)
        trainer.test(model, datamodule=data, verbose=False)
    return trainer

"""Short fits that show what only training can: of the config's own model, data and optimizer, without its callbacks' files."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from typing import Any

from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from <<cookiecutter.package>>.engine.build import build, build_model
from <<cookiecutter.package>>.engine.machine import set_seed
from <<cookiecutter.package>>.engine.metrics_csv import MetricsCSV
from <<cookiecutter.package>>.engine.survival.checkpoints import load_weights
from <<cookiecutter.package>>.engine.survival.finite_loss import FiniteLoss
from <<cookiecutter.package>>.engine.survival.preemption import Preemption
from <<cookiecutter.package>>.engine.targets import find

from .finding import definition
from .in_every_run import TrainingChecks

# What the doctor says in another way, or about files that are gone when it ends.
NOT_HERE = (TrainingChecks, ProgressBar, FiniteLoss)
NOT_IN_A_TRIAL = (*NOT_HERE, Checkpoint, EarlyStopping, Preemption)

ONE_DEVICE = {"devices": 1, "num_nodes": 1, "strategy": "auto", "fast_dev_run": False, "overfit_batches": 0.0}
ONE_DEVICE |= {"min_epochs": None, "min_steps": None, "profiler": None, "enable_model_summary": False}
TRAINING_ONLY = {
    "limit_train_batches": 1.0,
    "limit_val_batches": 0,
    "num_sanity_val_steps": 0,
    "val_check_interval": 1.0,
}
TRAINING_ONLY |= {"max_epochs": 1, "max_steps": -1, "max_time": None}


class Enough(Exception):
    """A trial has shown what it is for."""


class Trial(Callback):
    """Record the loss of every backward; end the fit after so many batches or seconds."""

    def __init__(self, num_batches: int, seconds: float) -> None:
        self.num_batches, self.seconds = num_batches, seconds
        self.losses: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.deadline = time.perf_counter() + self.seconds
        self.where = definition(pl_module, "training_step")

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.losses.append(loss.item() / (scaler.get_scale() if scaler else 1.0))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 >= self.num_batches or time.perf_counter() > self.deadline:
            raise Enough


def run_trial(
    cfg: DictConfig, data: LightningDataModule, model: LightningModule, trial: Callback, **options: Any
) -> None:
    """Fit until the trial has enough: no validation, no checkpoint, no end of an epoch."""
    trainer = build(
        trainer_block(cfg, **(TRAINING_ONLY | options)),
        callbacks=[*callbacks(cfg, NOT_IN_A_TRIAL), trial],
        logger=loggers(cfg),
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=cfg.run_dir,
    )
    with suppress(Enough):
        trainer.fit(model, datamodule=data)


def trainer_block(cfg: DictConfig, **options: Any) -> dict[str, Any]:
    """Return the block of the trainer, for one device, with other options."""
    block: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
    return {**block, **ONE_DEVICE, **options}


def callbacks(cfg: DictConfig, leave_out: tuple[type, ...]) -> list[Callback]:
    """Build the callbacks of the config, but for some: Preemption takes the signals as soon as it is made."""
    blocks = [block for block in cfg.callbacks.values() if block]
    kinds = [find(block["_target_"]) for block in blocks]
    leave = [isinstance(kind, type) and issubclass(kind, leave_out) for kind in kinds]
    return [build(block) for block, left_out in zip(blocks, leave, strict=True) if not left_out]


def loggers(cfg: DictConfig) -> list[Logger]:
    """Build metrics.csv; what would begin a run elsewhere is replaced by a logger that takes anything and writes nothing."""
    blocks = [block for block in cfg.logger.values() if block]
    return [build(block) if find(block["_target_"]) is MetricsCSV else DummyLogger() for block in blocks]


def new_model(cfg: DictConfig, data: LightningDataModule) -> LightningModule:
    """Build the model as train.py does: the same seed, the same start."""
    set_seed(cfg)
    model = build_model(cfg, data, from_checkpoint=cfg.checkpoint is not None)
    if cfg.checkpoint is not None:
        load_weights(model, cfg.checkpoint)
    return model


class Batches:
    """A loader of so many batches, from an iterator that `source` makes anew."""

    def __init__(self, source: Callable[[], Iterator[Any]], num_batches: int) -> None:
        self.source, self.num_batches = source, num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Any]:
        return self.source()


def with_loader(data: LightningDataModule, loader: Batches, split: str = "train") -> LightningDataModule:
    """Return data that is set up already, with another loader of a split."""
    data = copy(data)
    vars(data).update(prepare_data=lambda: None, setup=lambda stage: None, teardown=lambda stage: None)
    vars(data)[f"{split}_dataloader"] = lambda: loader
    return data

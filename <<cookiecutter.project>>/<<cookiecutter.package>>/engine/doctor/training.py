"""Short trainings that show what no single step can: one batch learnt by heart, inputs of zeros, the same seed twice."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from copy import copy, deepcopy
from functools import cache, cached_property
from typing import Any

import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ProgressBar
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import CombinedLoader
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader

from <<cookiecutter.package>>.engine.build import build, build_model, plain
from <<cookiecutter.package>>.engine.checks.data import inputs_and_labels
from <<cookiecutter.package>>.engine.checks.findings import Finding
from <<cookiecutter.package>>.engine.doctor.report import NotApplicable
from <<cookiecutter.package>>.engine.machine import set_seed
from <<cookiecutter.package>>.engine.survival.checkpoints import load_weights

SECONDS, NUM_STEPS, NUM_SAMPLES = 10.0, 200, 32  # of a training; steps on one batch, and samples in it

ONE_DEVICE = {"devices": 1, "num_nodes": 1, "strategy": "auto", "min_epochs": None, "min_steps": None}
TRAINING_ONLY = {"limit_val_batches": 0, "num_sanity_val_steps": 0, "max_steps": -1, "max_time": None, "max_epochs": 1}


class Enough(Exception):
    """A training has shown what it is for."""


class Trial(Callback):
    """Watch at most so many batches of a training, at the peak of its learning rate: the schedule is for a whole run."""

    def __init__(self, num_batches: int) -> None:
        self.num_batches, self.losses, self.times = num_batches, [], []  # seconds at which each batch starts and ends

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.deadline = time.perf_counter() + SECONDS
        for config in trainer.lr_scheduler_configs:
            config.frequency = sys.maxsize
        for group in (group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            group["lr"] = max(group.get(key, 0) for key in ("lr", "initial_lr", "max_lr"))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.first_batch = self.first_batch if self.times else batch
        self.start = time.perf_counter()

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self.losses.append(loss.mean().item())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.times.append((self.start, time.perf_counter()))
        if len(self.times) >= self.num_batches or self.times[-1][1] > self.deadline:
            raise Enough


def last_of(losses: list[float]) -> float:
    return sum(losses[-20:]) / 20


def make_trainer(cfg: DictConfig, *callbacks: Callback, **options: Any) -> Trainer:
    """Build the trainer of the config for one device, without logs, and without callbacks that write files or stop it."""
    block = {"limit_val_batches": 100, "limit_test_batches": 100} | plain(cfg.trainer)
    blocks = [block for block in plain(cfg.callbacks).values() if block]
    own = [build(block) for block in blocks if not block["_target_"].startswith(__name__.rpartition(".doctor.")[0])]
    own = [callback for callback in own if not isinstance(callback, Checkpoint | EarlyStopping | ProgressBar)]
    settings = {"callbacks": [*own, *callbacks], "logger": DummyLogger(), "default_root_dir": cfg.run_dir}
    settings["enable_checkpointing"] = any(isinstance(callback, Checkpoint) for callback in callbacks)
    return build({**block, **ONE_DEVICE, **options}, enable_progress_bar=False, **settings)


def new_model(cfg: DictConfig, data: LightningDataModule) -> LightningModule:
    """Build the model as train.py does: the same seed, the same start."""
    set_seed(cfg)
    model = build_model(cfg, data, from_checkpoint=cfg.checkpoint is not None)
    if cfg.checkpoint is not None:
        load_weights(model, cfg.checkpoint)
    return model


def fit(cfg: DictConfig, data: LightningDataModule, model: LightningModule, trial: Trial, **options: Any) -> None:
    """Fit the config's own model until the trial has seen enough."""
    with suppress(Enough), torch.compiler.set_stance("force_eager"):
        make_trainer(cfg, trial, **(TRAINING_ONLY | options)).fit(model, datamodule=data)


def score(cfg: DictConfig, data: LightningDataModule, model: LightningModule) -> float:
    """Return the monitored value of a validation."""
    trainer = make_trainer(cfg)
    trainer.validate(model, datamodule=data, verbose=False)
    return trainer.callback_metrics[cfg.monitor].item()


def batches_of(loaders: Any) -> Iterator[Any]:
    """Yield the batches of one loader, or of a list or dict of them, as Lightning does."""
    combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders, "max_size_cycle")
    return (batch for batch, _, _ in combined)


def target_of(batch: Any) -> Tensor:
    """Return what a batch made of tensors asks for."""
    target = inputs_and_labels(batch)[1]
    if not all(isinstance(leaf, Tensor) and leaf.dim() for leaf in [target, *tree_leaves(batch)]):
        raise NotApplicable("a batch is not made of tensors, one of them the target")
    return target


class OneBatch:
    """One batch of the training data, and how the loss of a new model falls on it."""

    def __init__(self, cfg: DictConfig, data: LightningDataModule) -> None:
        self.cfg, self.data, self.where = cfg, data, cfg.model._target_.rpartition(".")[2]
        self.learn = cache(self.learn)

    @cached_property
    def batch(self) -> Any:
        """The first batch, cut to NUM_SAMPLES where it is made of tensors."""
        batch = next(batches_of(self.data.train_dataloader()))
        has_rows = all(isinstance(leaf, Tensor) and leaf.dim() for leaf in tree_leaves(batch))
        return tree_map(lambda leaf: leaf[:NUM_SAMPLES], batch) if has_rows else batch

    def learn(self, *, has_zeros: bool) -> list[float]:
        """Return the losses of a training on the batch as it is, or with inputs of zeros."""
        model, trial, batch = new_model(self.cfg, self.data), Trial(NUM_STEPS), self.batch
        if has_zeros:
            target = target_of(batch)
            batch = tree_map(lambda leaf: leaf if leaf is target else torch.zeros_like(leaf), batch)
        data, batches = copy(self.data), [batch] * NUM_STEPS
        loader = DataLoader(batches, batch_size=None, collate_fn=deepcopy)  # type: ignore[arg-type]
        vars(data).update(prepare_data=lambda: None, setup=lambda stage: None, teardown=lambda stage: None)
        vars(data)["train_dataloader"] = lambda: loader  # of copies: a step may change its batch
        fit(self.cfg, data, model, trial, limit_train_batches=1.0, accumulate_grad_batches=1)
        if not model.automatic_optimization or len(trial.losses) < 40:
            raise NotApplicable("manual optimization, or very slow steps, tell nothing about one batch")
        return trial.losses

    def check_learnt(self) -> Iterator[Finding]:
        """A model can learn one batch by heart."""
        losses = self.learn(has_zeros=False)
        if not losses[0] - last_of(losses) > 0.25 * abs(losses[0]):  # nobody knows where it ends
            what = f"after {len(losses)} steps the loss is {last_of(losses):.3g}, at first {losses[0]:.3g}"
            yield Finding("one_batch", self.where, f"one batch is not learnt by heart: {what}")

    def check_zeros(self) -> Iterator[Finding]:
        """Real inputs teach more than zeros, which all look alike."""
        target = target_of(self.batch)
        if bool((target == target[0]).all()) or (target.dim() == 2 and not target.is_floating_point()):
            raise NotApplicable("the targets of a batch are all one, or texts that teach themselves")
        first, zeros = self.learn(has_zeros=True)[0], last_of(self.learn(has_zeros=True))
        if 0 < zeros < 0.995 * first and 0.9 < (real := last_of(self.learn(has_zeros=False))) / zeros < 1.2:
            what = f"a loss of {zeros:.3g}, and of {real:.3g} with real ones"
            yield Finding("zero_inputs", self.where, f"inputs of zeros teach as much as real ones: {what}")


def first_steps(cfg: Any, seed: int) -> dict[str, float]:
    """Return sums of what a run begins with, by place: each weight, the first batch, all weights after some steps."""
    cfg = OmegaConf.merge(cfg, {"seed": seed})
    set_seed(cfg)
    data, trial = build(cfg.data), Trial(4 * cfg.trainer.get("accumulate_grad_batches", 1))
    model = new_model(cfg, data)
    weights = {name: total(p) for name, p in model.named_parameters() if not torch.nn.parameter.is_lazy(p)}
    fit(cfg, data, model, trial)
    batch = sum(total(leaf) for leaf in tree_leaves(trial.first_batch) if isinstance(leaf, Tensor))
    return weights | {"data": batch, type(model).__name__: sum(map(total, model.parameters()))}


def total(tensor: Tensor) -> float:
    return tensor.detach().cpu().double().abs().sum().item()


def check_seed(cfg: DictConfig) -> Iterator[Finding]:
    """The same seed gives the same first steps, bit for bit on a CPU; another seed gives others."""
    tolerance = 1e-4 if torch.cuda.is_available() else 0.0
    one, again, other = (first_steps(cfg, seed) for seed in (cfg.seed, cfg.seed, (cfg.seed + 1) % 2**32))
    differs = [place for place in one if not math.isclose(one[place], again[place], rel_tol=tolerance)]
    if differs and not math.isnan(one[differs[0]]):
        yield Finding("seed", differs[0], f"two runs with seed={cfg.seed} differ, first in {differs[0]}")
    elif one == other and any(list(one.values())[:-2]):  # with weights of 0 there may be nothing to draw
        yield Finding("seed", "seed", f"seed={cfg.seed} and the next seed give the same weights, batches and steps")

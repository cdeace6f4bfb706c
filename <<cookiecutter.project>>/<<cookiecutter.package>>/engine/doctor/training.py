"""Short trainings that show what no single step can: one batch learnt by heart, unseen samples, the same seed twice."""

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import copy, deepcopy
from functools import cache
from itertools import islice
from typing import Any

import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ProgressBar
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import CombinedLoader
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader

from <<cookiecutter.package>>.engine.build import PACKAGE, build, build_model, plain
from <<cookiecutter.package>>.engine.checks.findings import Finding
from <<cookiecutter.package>>.engine.doctor.report import NotApplicable
from <<cookiecutter.package>>.engine.machine import set_seed
from <<cookiecutter.package>>.engine.survival.checkpoints import load_weights

SECONDS = 10.0  # of each training
NUM_SAMPLES, NUM_STEPS = 32, 200  # of the batch that is learnt by heart
TARGETS = ("labels", "label", "targets", "target", "y")  # keys, in a batch that is a mapping

ONE_DEVICE = {"devices": 1, "num_nodes": 1, "strategy": "auto", "fast_dev_run": False, "overfit_batches": 0.0}
ONE_DEVICE |= {"min_epochs": None, "min_steps": None, "profiler": None, "enable_progress_bar": False}
TRAINING_ONLY = {"limit_val_batches": 0, "num_sanity_val_steps": 0, "max_steps": -1, "max_time": None}


class Enough(Exception):
    """A training has shown what it is for."""


class Trial(Callback):
    """Watch so many batches of a training, at the peak of its learning rate: the schedule is made for a whole run."""

    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches
        self.losses: list[float] = []
        self.times: list[tuple[float, float]] = []  # seconds at which each batch starts and ends
        self.batch: Any = None  # the first one

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.deadline = time.perf_counter() + SECONDS
        for config in trainer.lr_scheduler_configs:
            config.frequency = sys.maxsize
        for group in (group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            group["lr"] = max(group.get(key, 0) for key in ("lr", "initial_lr", "max_lr"))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batch = self.batch if self.times else batch
        self.start = time.perf_counter()

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self.losses.append(loss.mean().item())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.times.append((self.start, time.perf_counter()))
        if len(self.times) >= self.num_batches or self.times[-1][1] > self.deadline:
            raise Enough


def make_trainer(cfg: DictConfig, *callbacks: Callback, **options: Any) -> Trainer:
    """Build the trainer of the config for one device, without logs and without callbacks that write files or stop it."""
    block = {"limit_val_batches": 100, "limit_test_batches": 100} | plain(cfg.trainer)
    block["check_val_every_n_epoch"] = block.get("check_val_every_n_epoch", 1) and 1
    blocks = [block for block in cfg.callbacks.values() if block and not block._target_.startswith(f"{PACKAGE}.engine.")]
    own = [callback for callback in map(build, blocks) if not isinstance(callback, Checkpoint | EarlyStopping | ProgressBar)]
    saves = any(isinstance(callback, Checkpoint) for callback in callbacks)
    settings = {"callbacks": [*own, *callbacks], "logger": DummyLogger(), "default_root_dir": cfg.run_dir}
    return build({**block, **ONE_DEVICE, **options}, enable_checkpointing=saves, **settings)


def new_model(cfg: DictConfig, data: LightningDataModule) -> LightningModule:
    """Build the model as train.py does: the same seed, the same start."""
    set_seed(cfg)
    model = build_model(cfg, data, from_checkpoint=cfg.checkpoint is not None)
    if cfg.checkpoint is not None:
        load_weights(model, cfg.checkpoint)
    return model


def fit(cfg: DictConfig, data: LightningDataModule, model: LightningModule, trial: Trial, **options: Any) -> Trainer:
    """Fit the config's own model until the trial has seen enough."""
    trainer = make_trainer(cfg, trial, **TRAINING_ONLY, **options)
    with suppress(Enough), torch.compiler.set_stance("force_eager"):
        trainer.fit(model, datamodule=data)
    return trainer


def score(cfg: DictConfig, data: LightningDataModule, model: LightningModule) -> float | None:
    """Return the monitored value of a validation, if it is measured there."""
    trainer = make_trainer(cfg)
    trainer.validate(model, datamodule=data, verbose=False)
    value = trainer.callback_metrics.get(cfg.monitor)
    return None if value is None else float(value)


def with_batches(data: LightningDataModule, split: str, batches: list[Any]) -> LightningDataModule:
    """Return data that is set up already, with these batches for a split."""
    data = copy(data)
    loader = DataLoader(batches, batch_size=None, collate_fn=deepcopy)  # a step may change its batch
    vars(data).update(prepare_data=lambda: None, setup=lambda stage: None, teardown=lambda stage: None)
    vars(data)[f"{split}_dataloader"] = lambda: loader
    return data


def target_of(batch: Any) -> Tensor | None:
    """Return what a batch asks for: the last of a tuple, or what a mapping calls so."""
    target = None
    if isinstance(batch, Mapping):
        target = next((batch[name] for name in TARGETS if name in batch), None)
    elif isinstance(batch, tuple | list) and len(batch) > 1:
        target = batch[-1]
    return target if isinstance(target, Tensor) and target.dim() else None


def with_zeros(batch: Any) -> Any:
    """Return the batch with inputs of zeros; tokens, which zero may end, are those of the first sample."""
    target = target_of(batch)
    if target is None or not all(isinstance(leaf, Tensor) for leaf in tree_leaves(batch)):
        raise NotApplicable("a batch is not made of tensors, one of which is the target")

    def zeros(leaf: Tensor) -> Tensor:
        if leaf is target or not leaf.dim():
            return leaf
        return torch.zeros_like(leaf) if leaf.is_floating_point() else leaf[:1].expand_as(leaf).clone()

    return tree_map(zeros, batch)


class OneBatch:
    """One batch of the training data, and how the loss of a new model falls on it."""

    def __init__(self, cfg: DictConfig, data: LightningDataModule) -> None:
        self.cfg, self.data = cfg, data
        self.losses = cache(self.learn)  # of each training once
        self.model = type(new_model(cfg, data)).__name__

    def draw(self) -> Any:
        """Return a batch, cut to NUM_SAMPLES where it is made of tensors, whose targets are not all the same."""
        for batch, _, _ in islice(CombinedLoader(self.data.train_dataloader(), "max_size_cycle"), 10):
            sizes = {len(leaf) if isinstance(leaf, Tensor) and leaf.dim() else None for leaf in tree_leaves(batch)}
            batch = batch if None in sizes or len(sizes) > 1 else tree_map(lambda leaf: leaf[:NUM_SAMPLES], batch)
            target = target_of(batch)
            if target is None or bool((target != target[:1]).any()):
                self.target = target
                return batch
        raise NotApplicable("the first batches have one label each")

    def learn(self, *, has_adam: bool = False, has_zeros: bool = False) -> tuple[float, float]:
        """Train on the batch, or on it with inputs of zeros, with its own optimizer or with Adam; return first and last loss."""
        model, batch, trial = new_model(self.cfg, self.data), self.draw(), Trial(NUM_STEPS)
        if has_adam:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            vars(model)["configure_optimizers"] = lambda: torch.optim.Adam(trained, lr=1e-3)
        data = with_batches(self.data, "train", [with_zeros(batch) if has_zeros else batch] * NUM_STEPS)
        limits = {"max_epochs": 1, "limit_train_batches": 1.0, "accumulate_grad_batches": 1}
        trainer = fit(self.cfg, data, model, trial, **limits)
        if len(trainer.optimizers) > 1 or len(trial.losses) < NUM_STEPS // 4:
            raise NotApplicable(f"several optimizers, or only {len(trial.losses)} losses in {SECONDS:g} seconds")
        return trial.losses[0], sum(trial.losses[-20:]) / 20

    def is_learnt(self, first: float, last: float) -> bool:
        """Say whether the loss has fallen: by half for class labels; of any other loss nobody knows where it ends."""
        has_classes = self.target is not None and self.target.dim() == 1 and not self.target.is_floating_point()
        return first - last > (0.5 if has_classes else 0.1) * abs(first)

    def check_learnt(self) -> Iterator[Finding]:
        """A model can learn one batch by heart, and its own optimizer gets it there."""
        first, last = self.losses()
        if self.is_learnt(first, last):
            return
        what = f"one batch is not learnt by heart: after {NUM_STEPS} steps the loss is {last:.3g}, at first {first:.3g}"
        if self.is_learnt(*(adam := self.losses(has_adam=True))):
            what = f"{what}; Adam with a learning rate of 1e-3 gets to {adam[1]:.3g}"
            remedy = "raise optimizer.lr or lower it, or look at the other values of the optimizer"
            yield Finding("one_batch", "optimizer", what, remedy=remedy)
        elif self.target is not None and self.losses(has_adam=True, has_zeros=True)[1] < 0.8 * adam[1]:
            raise NotApplicable("the loss is about the inputs, not about a target")
        else:
            yield Finding("one_batch", self.model, what)

    def check_zero_inputs(self) -> Iterator[Finding]:
        """Real inputs teach more than zeros, which all look alike."""
        adam = {"has_adam": not self.is_learnt(*self.losses())}
        real, zeros = self.losses(**adam)[1], self.losses(**adam, has_zeros=True)[1]
        if self.target is not None and self.target.dim() == 2 and not self.target.is_floating_point():
            raise NotApplicable("the target is a text, which teaches itself")
        if zeros > 0 and 0.9 < real / zeros < 1.2:
            what = f"inputs of zeros teach as much as real ones: a loss of {zeros:.3g}, and of {real:.3g} with real ones"
            yield Finding("zero_inputs", self.model, what)


def check_unseen(cfg: DictConfig, data: LightningDataModule, model: LightningModule) -> Iterator[Finding]:
    """After a short training, validation scores better with its own targets than with those of other samples."""
    batches = [batch for batch, _, _ in islice(CombinedLoader(data.val_dataloader(), "sequential"), 50)]
    targets = [target_of(batch) for batch in batches]
    half, mixed = len(targets) // 2, []
    for batch, own, other in zip(batches, targets, targets[half:] + targets[:half], strict=True):
        if own is None or other is None:
            raise NotApplicable("a validation batch has no target")
        other = (other if other.shape == own.shape else own).roll(len(own) // 2, 0)
        mixed.append(tree_map(lambda leaf: other if leaf is own else leaf, batch))
    own, others = (score(cfg, with_batches(data, "val", each), model) for each in (batches, mixed))
    if own is None or others is None or own == others:
        raise NotApplicable(f"{cfg.monitor} does not depend on targets")
    if (others - own if cfg.mode == "min" else own - others) < 0.02 * abs(others):
        what = f"after the doctor's training {cfg.monitor} is {own:.3g}, and {others:.3g} with the labels of other samples"
        effect = "if it stays so, nothing is learnt that holds for unseen samples"
        yield Finding("zero_inputs", "data", what, effect=effect)


def first_steps(cfg: DictConfig) -> tuple[LightningModule, dict[str, dict[Any, float]]]:
    """Return sums of what a run begins with: its weights, its first batch, and its weights after four batches."""
    set_seed(cfg)
    data, trial = build(cfg.data), Trial(4 * cfg.trainer.get("accumulate_grad_batches", 1))
    model = new_model(cfg, data)
    weights = sums(dict(model.named_parameters()))
    fit(cfg, data, model, trial, max_epochs=1)
    steps, batch = sums(dict(model.named_parameters())), sums(dict(enumerate(tree_leaves(trial.batch))))
    return model, {"weights": weights, "batch": batch, "steps": steps}


def sums(tensors: dict[Any, Any]) -> dict[Any, float]:
    known = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor) and not is_lazy(tensor)}
    return {name: tensor.detach().cpu().double().abs().sum().item() for name, tensor in known.items()}


def difference(one: dict[str, dict[Any, float]], other: dict[str, dict[Any, float]]) -> tuple[str, Any] | None:
    """Return where two runs differ first; on a GPU sums may be added in another order."""
    tolerance = 1e-4 if torch.cuda.is_available() else 0.0
    for part, own in one.items():
        for name, value in own.items():
            if not math.isclose(value, other[part].get(name, math.nan), rel_tol=tolerance) and value == value:
                return part, name
    return None


def check_seed(cfg: DictConfig) -> Iterator[Finding]:
    """The same seed gives the same first steps, bit for bit on a CPU; another seed gives others."""
    seed = cfg.seed
    (model, one), (_, again) = first_steps(cfg), first_steps(cfg)
    cfg.seed = (seed + 1) % 2**32
    _, other = first_steps(cfg)
    cfg.seed = seed
    if found := difference(one, again):
        where = {"weights": found[1], "batch": "data", "steps": type(model).__name__}[found[0]]
        what = {"weights": "start with other weights", "batch": "begin with another batch", "steps": "make other steps"}
        yield Finding("seed", where, f"two runs with seed={seed} {what[found[0]]}")
    elif not difference(one, other) and any(p.dim() > 1 and p.std() > 0 for p in model.parameters()):
        what = f"seed={seed} and seed={(seed + 1) % 2**32} give the same weights, the same batches and the same steps"
        yield Finding("seed", "seed", what)

"""The scheduler steps as often as it was built for."""

import inspect
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, LearningRateFinder
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim import lr_scheduler

from .finding import Finding, definition
from .schedule_length import Pace, mismatch


def check_schedules(trainer: Trainer) -> Iterator[Finding]:
    """Compare the steps that Lightning will make with those that each scheduler was built for, at the first batch."""
    model = trainer.lightning_module
    if not model.automatic_optimization or trainer.fast_dev_run or is_overridden("lr_scheduler_step", model):
        return
    for config in trainer.lr_scheduler_configs:
        pace = planned_pace(trainer, config)
        if pace is not None and not config.reduce_on_plateau:
            yield from judge(config.scheduler, pace, where(trainer))


def check_stepped(trainer: Trainer, steps_before: list[int | None]) -> Iterator[Finding]:
    """Compare the steps made in the first epoch with those that each scheduler was built for.

    A model may step a scheduler as late as in `on_train_epoch_start`: call this at the first batch of the second epoch,
    or in `on_train_end` when there is no second one.

    Args:
        trainer: in fit.
        steps_before: `steps_taken` at the first batch.
    """
    epochs, module = trainer.fit_loop.epoch_progress.current.completed, trainer.lightning_module
    if epochs == 0 or trainer.fast_dev_run or len(steps_before) != len(trainer.lr_scheduler_configs):
        return
    for config, before, now in zip(trainer.lr_scheduler_configs, steps_before, steps_taken(trainer), strict=True):
        if before is None or now is None:
            continue
        if module.automatic_optimization:
            yield from stepped_by_lightning(trainer, config, before, now)
        elif now == before:
            if not steps_schedulers(module):
                yield never_stepped(config.scheduler, module, where(trainer))
        elif planned_pace(trainer, config) is not None and not config.reduce_on_plateau:
            yield from judge(config.scheduler, observed_pace(trainer, now / epochs), where(trainer))


def stepped_by_lightning(trainer: Trainer, config: Any, before: int, now: int) -> Iterator[Finding]:
    """Find a scheduler that the model's own code steps as well, or keeps Lightning from stepping."""
    planned, (_, _, per_epoch) = planned_pace(trainer, config), run_length(trainer)
    if config.reduce_on_plateau or config.frequency > 1 or planned is None or trainer.global_step < per_epoch:
        return  # nothing to compare with, or max_steps has ended the run within its first epoch
    if now == before:
        yield never_stepped(config.scheduler, trainer.lightning_module, where(trainer))
        return
    epochs = trainer.fit_loop.epoch_progress.current.completed
    ratio = now / (trainer.global_step if config.interval == "step" else epochs)
    warms_up = 0.5 < ratio < 1 and is_overridden("lr_scheduler_step", trainer.lightning_module)  # before it begins
    if not 0.9 <= ratio <= 1.1 and not warms_up:
        remedy = "leave it to Lightning: call scheduler.step() nowhere, or once in lr_scheduler_step"
        pace = replace(planned, steps=round(planned.steps * ratio))
        yield from (replace(f, remedy=remedy) for f in judge(config.scheduler, pace, where(trainer)))


def check_known(trainer: Trainer, rates_before: list[float]) -> Iterator[Finding]:
    """Find a scheduler that was made and that Lightning does not know: nobody steps it in automatic optimization."""
    made = any(hasattr(optimizer.step, "_wrapped_by_lr_sched") for optimizer in trainer.optimizers)
    made &= not any(
        isinstance(callback, LearningRateFinder) for callback in trainer.callbacks
    )  # it makes one to try rates
    unknown = made and not trainer.lr_scheduler_configs and trainer.lightning_module.automatic_optimization
    own = [value for value in vars(trainer.lightning_module).values() if isinstance(value, lr_scheduler.LRScheduler)]
    if unknown and not any(scheduler.last_epoch > 0 for scheduler in own) and learning_rates(trainer) == rates_before:
        yield Finding(
            "schedule",
            definition(trainer.lightning_module, "configure_optimizers"),
            "a scheduler is made and not returned: nobody steps it",
            "the learning rate stays what it is at the start",
            'return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}',
        )


def learning_rates(trainer: Trainer) -> list[float]:
    return [float(group["lr"]) for o in trainer.optimizers for group in o.param_groups if "lr" in group]


def steps_taken(trainer: Trainer) -> list[int | None]:
    """Return how often each scheduler has been stepped, None where it does not say."""
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    chains = [s._schedulers[0] if isinstance(s, lr_scheduler.ChainedScheduler) else s for s in schedulers]
    return [getattr(scheduler, "last_epoch", None) for scheduler in chains]


def where(trainer: Trainer) -> str:
    """Return the key of the config that the model reads, or where it makes schedulers itself."""
    model = trainer.lightning_module
    reads = "scheduler" in getattr(type(model).configure_optimizers, "__code__", where.__code__).co_names
    return "scheduler" if reads and dict(model.hparams).get("scheduler") else definition(model, "configure_optimizers")


def run_length(trainer: Trainer) -> tuple[float, float, float]:
    """Return the epochs of the whole run, its optimizer steps, and those of an epoch; inf where nobody can know."""
    epochs = math.inf if trainer.max_epochs in (-1, None) else float(trainer.max_epochs)
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in trainer.callbacks):
        return epochs, math.inf, math.inf
    per_epoch = float(trainer.num_training_batches) / trainer.accumulate_grad_batches
    per_epoch = per_epoch if per_epoch == math.inf else float(math.ceil(per_epoch))
    steps = epochs * per_epoch
    if trainer.max_steps != -1 and trainer.lightning_module.automatic_optimization and trainer.max_steps < steps:
        steps = float(trainer.max_steps)
        epochs = float(math.ceil(steps / per_epoch)) if per_epoch < math.inf else math.inf
    return epochs, steps, per_epoch


def planned_pace(trainer: Trainer, config: Any) -> Pace | None:
    """Return how often Lightning will step a scheduler, None if it cannot be known."""
    epochs, steps, per_epoch = run_length(trainer)
    if config.interval == "step" and config.frequency > 1 and per_epoch < math.inf:
        batches, accumulated = trainer.num_training_batches, trainer.accumulate_grad_batches
        # Lightning counts the batches of each epoch, and steps at those that are an optimizer step as well.
        at = batches // math.lcm(config.frequency, accumulated)
        at += batches % config.frequency == 0 and batches % accumulated != 0
        steps = steps * at / per_epoch
    elif config.interval == "epoch":
        epochs = epochs // config.frequency if epochs < math.inf else epochs
    own, other = (steps, epochs) if config.interval == "step" else (epochs, steps)
    return None if own == math.inf else Pace(config.interval, round(own), 0 if other == math.inf else round(other))


def observed_pace(trainer: Trainer, per_epoch: float) -> Pace:
    """Return the pace of a scheduler that was stepped so often in an epoch."""
    epochs, batches = run_length(trainer)[0], trainer.num_training_batches
    if batches / 2 < per_epoch < batches:
        per_epoch = batches  # it may have been left out at the beginning, for a warm-up
    interval = "step" if per_epoch > 1 else "epoch"
    other = epochs if interval == "step" else epochs * batches
    return Pace(interval, round(per_epoch * epochs), 0 if other == math.inf else round(other))


def judge(scheduler: Any, pace: Pace, where: str) -> Iterator[Finding]:
    problem = mismatch(scheduler, pace)
    if problem is not None:
        yield Finding("schedule", where, *problem)


def steps_schedulers(module: LightningModule) -> bool:
    """Say whether the code of a model, `configure_optimizers` aside, speaks of schedulers: it may step them later."""
    functions = [
        function
        for cls in type(module).__mro__
        if not cls.__module__.startswith(("lightning.", "torch.", "builtins"))
        for name, function in vars(cls).items()
        if inspect.isfunction(function) and name not in ("__init__", "configure_optimizers")
    ]
    return any("sched" in name for function in functions for name in function.__code__.co_names)


def never_stepped(scheduler: Any, module: LightningModule, where: str) -> Finding:
    name = type(scheduler).__name__
    if module.automatic_optimization:
        remedy = "call scheduler.step() in lr_scheduler_step, or leave that method to Lightning"
    else:
        remedy = "call self.lr_schedulers().step() where its interval ends: in training_step or in on_train_epoch_end"
    return Finding(
        "schedule",
        where,
        what=f"{name} was not stepped once in the first epoch"
        + ("" if module.automatic_optimization else ": in manual optimization Lightning steps no scheduler"),
        effect="the learning rate would stay what it is at the start, for the whole run",
        remedy=remedy,
    )

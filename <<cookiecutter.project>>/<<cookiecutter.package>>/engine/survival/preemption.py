"""Stop when asked to, with a checkpoint of what training has reached: SIGTERM, SIGHUP, SIGUSR1, Ctrl-C."""

import os
import signal
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from <<cookiecutter.package>>.engine.errors import Preempted
from <<cookiecutter.package>>.engine.survival.loops import StepCallback, call
from <<cookiecutter.package>>.engine.survival.signals import handle_stop


class Preemption(StepCallback):
    """On a signal, save last.ckpt at the next step boundary and end the program; a second Ctrl-C ends it at once.

    While a run trains, the handler only sets a flag. Before and after there is nothing to be saved, and a validation is
    begun anew by the run that continues: the program ends. Several processes always wait for the next step, or the next
    batch of an evaluation, and all stop at the same one, whichever of them got the signal.
    """

    def __init__(self) -> None:
        self.received = 0
        self.must_wait = False
        handle_stop(self.receive)

    def receive(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT == self.received:
            os._exit(128 + number)
        self.received = number
        if not self.must_wait:
            self.must_wait = True  # once is enough
            raise Preempted(number, rank_zero_only.rank)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning's own handlers stop in the middle of a step, and on SLURM save in the middle of one.
        trainer._signal_connector.register_signal_handlers = lambda: None
        self.must_wait = trainer.world_size > 1

    def before_run(self, trainer: Trainer) -> None:
        self.must_wait = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.must_wait = trainer.world_size > 1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.must_wait = trainer.world_size > 1 or trainer.fit_loop.epoch_loop._should_accumulate()
        if self.received and not self.must_wait:
            raise Preempted(self.received, rank_zero_only.rank)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.must_wait = trainer.world_size > 1 or not trainer.sanity_checking

    def between_steps(self, trainer: Trainer, *, epoch_ended: bool, stopping: bool = False) -> None:
        if not stopping and (number := self.agreed_signal(trainer)):
            call(trainer, "between_steps", epoch_ended=epoch_ended, stopping=True)
            raise Preempted(number, rank_zero_only.rank)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if not trainer.fit_loop.epoch_loop._should_accumulate():
            self.on_test_batch_end(trainer)

    def on_test_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if number := self.agreed_signal(trainer):
            raise Preempted(number, rank_zero_only.rank)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.received and not isinstance(exception, Preempted):  # a process of a loader may not survive the signal
            raise Preempted(self.received, rank_zero_only.rank) from exception

    def agreed_signal(self, trainer: Trainer) -> int:
        """Return the number of a signal that any of the processes has received, or 0."""
        if trainer.world_size == 1:
            return self.received
        number = torch.tensor(self.received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max"))

"""Stop between two steps when asked to, with a checkpoint: SIGTERM, SIGUSR1, Ctrl-C."""

import os
import signal
from typing import Any

import torch
from lightning import Trainer

from <<cookiecutter.package>>.engine.errors import Preempted
from <<cookiecutter.package>>.engine.loops import StepCallback, step_callbacks

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]


class Preemption(StepCallback):
    """On a signal, save last.ckpt at the next step boundary and end the program; a second Ctrl-C ends it at once.

    The handlers only set a flag. With several processes all of them stop at the same step, whichever got the signal.
    """

    def __init__(self) -> None:
        self.received = 0

    def before_run(self, trainer: Trainer) -> None:
        self.listen()

    def on_sanity_check_start(self, *args: Any) -> None:
        self.listen()

    def on_test_start(self, *args: Any) -> None:
        self.listen()

    def listen(self) -> None:
        """Take the place of Lightning's handlers; when `fit` or `test` ends, Lightning puts back those of before."""
        for number in SIGNALS:
            signal.signal(number, self.receive)

    def receive(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT == self.received:
            os._exit(128 + number)
        self.received = number

    def between_steps(self, trainer: Trainer, *, epoch_ended: bool, stopping: bool = False) -> None:
        if number := self.agreed_signal(trainer):
            for callback in step_callbacks(trainer):
                if callback is not self:
                    callback.between_steps(trainer, epoch_ended=epoch_ended, stopping=True)
            raise Preempted(number)

    def on_test_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if number := self.agreed_signal(trainer):
            raise Preempted(number)

    def agreed_signal(self, trainer: Trainer) -> int:
        """Return the number of a signal that any of the processes has received, or 0."""
        if trainer.world_size == 1:
            return self.received
        number = torch.tensor(self.received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max"))

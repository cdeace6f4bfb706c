"""The ways in which a run ends that are not a bug. engine/command_line.py turns them into one line and an exit code."""

import signal


class ConfigError(ValueError):
    """A wrong value in the config, on the command line or in the data.

    The message says which key, what it got and what is allowed.
    """


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is not finite, the disk is full. The message says what to do."""


class RuleBroken(TrainingError):
    """A rule of training is broken: the run would go on, and learn less than it could. The message says which and where."""


class Preempted(SystemExit):
    """A signal has asked the run to stop; the exit code is the shell's for it: 128 + its number.

    Of several processes only the first one reports it: Lightning kills them all when another one fails.
    """

    def __init__(self, number: int, rank: int = 0) -> None:
        self.signal = signal.Signals(number).name
        super().__init__(128 + number if rank == 0 else 0)

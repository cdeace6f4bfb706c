"""The ways in which a run ends that are not a bug."""

import signal

from lightning.pytorch.utilities import rank_zero_only


class ConfigError(SystemExit):
    """A wrong value in the config or on the command line; the message says which key, what it got and what is allowed.

    As a SystemExit it ends the program with its message, without a traceback and with exit code 1; any other
    exception keeps its traceback.
    """


class RuleBroken(SystemExit):
    """A rule of training is broken: the run would go on, and learn less than it could. The message says which and where."""


class Preempted(SystemExit):
    """A signal has asked the run to stop; the exit code is the shell's for it: 128 + its number."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number).name
        # Of several processes only the first one reports it: Lightning kills them all when another one fails.
        super().__init__(128 + number if rank_zero_only.rank == 0 else 0)

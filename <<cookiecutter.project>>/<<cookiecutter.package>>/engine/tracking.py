"""Tracking servers beside metrics.csv: one that is away, or goes down, costs a warning and not the run."""

import re
from functools import partial
from queue import Queue
from threading import Thread, Timer
from typing import Any

from lightning.fabric.loggers.logger import _DummyExperiment
from lightning.pytorch.loggers import Logger

from <<cookiecutter.package>>.engine.console import warn
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.metrics_csv import MetricsCSV

PATIENCE = 10  # seconds for which a run waits for a server
LATE = f"has not answered for {PATIENCE} seconds"
CALLS = ("log_metrics", "log_hyperparams", "log_graph", "save", "after_save_checkpoint")


class Tracker:
    """Stands for a logger; a thread makes the calls one after the other, so that no step waits for them.

    The first that fails ends the logging. A server that does not answer in time gets them when it answers again.

    Args:
        name: its name in the config.
        logger: the logger.
    """

    def __init__(self, name: str, logger: Logger) -> None:
        self._name, self._logger, self._calls = name, logger, Queue[partial[Any]]()
        self._begun = self._warned = False
        self._error: Exception | None = None
        Thread(target=self._work, daemon=True).start()

    @property
    def __class__(self) -> Any:  # pyright: ignore  for `isinstance(logger, WandbLogger)`
        return type(self._logger)

    def __reduce__(self) -> tuple[Any, ...]:  # into a process of its own
        return Tracker, (self._name, self._logger)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._logger, name)
        return partial(self._send, value) if name in CALLS else value

    @property
    def experiment(self) -> Any:
        """What the functions of the service are called on; while there is no server, one that does nothing."""
        return self._logger.experiment if self._begun and self._error is None else _DummyExperiment()

    @property
    def version(self) -> Any:
        return self._logger.version if self._begun else None

    def begin(self) -> None:
        """Begin the run at the service.

        Raises:
            ConfigError: it refuses: there is no key or no account, or a value is wrong.
        """
        self._calls.put(partial(getattr, self._logger, "experiment", None))
        self._begun = self._wait()
        if self._error is not None and not is_away(self._error):
            raise ConfigError(f"logger.{self._name} cannot begin: {brief(self._error)}")

    def finalize(self, status: str) -> None:
        self._calls.put(partial(self._logger.finalize, status))
        self._wait()

    def _send(self, call: Any, *args: Any, **kwargs: Any) -> None:
        self._calls.put(partial(call, *args, **kwargs))

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            timer = Timer(PATIENCE, self._warn, [LATE])
            timer.daemon = True
            timer.start()
            try:
                if self._error is None:
                    call()
            except Exception as error:  # noqa: BLE001  of whatever kind
                self._error = error
                if self._begun or is_away(error):
                    self._warn(f"has failed ({brief(error)})")
            timer.cancel()
            self._calls.task_done()

    def _wait(self) -> bool:
        """Wait until all calls are made, but not for a server that is away; say whether there is one."""
        with self._calls.all_tasks_done:
            seconds = 0 if self._warned else PATIENCE
            if not self._calls.all_tasks_done.wait_for(lambda: not self._calls.unfinished_tasks, seconds):
                self._warn(LATE)
        return not self._warned and self._error is None

    def _warn(self, what: str) -> None:
        if not self._warned:
            warn(f"logger.{self._name} {what}: training goes on without it")
        self._warned = True


def tracked(name: str, logger: Logger) -> Any:
    """Return what stands for a logger; metrics.csv is none that may fail."""
    return logger if isinstance(logger, MetricsCSV) else Tracker(name, logger)


def begin(loggers: dict[str, Logger]) -> dict[str, str]:
    """Begin the runs of the loggers and return the names that a service has given them, for a later start to continue."""
    for logger in loggers.values():
        if type(logger) is Tracker:
            logger.begin()
    ids = {name: logger.version for name, logger in loggers.items()}
    return {name: version for name, version in ids.items() if isinstance(version, str) and version}


def is_away(error: BaseException | None) -> bool:
    """Say whether an error comes from a network that does not reach a server."""
    away = isinstance(error, OSError) or re.search("Connection|Timeout|Comm", type(error).__name__)
    return error is not None and (bool(away) or is_away(error.__cause__ or error.__context__))


def brief(error: BaseException) -> str:
    """Return the first line of an error."""
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)

"""Tracking servers beside metrics.csv: one that is away, or goes down, costs a warning and not the run."""

import os
import re
from functools import partial
from threading import Thread
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import Logger

from <<cookiecutter.package>>.engine.console import warn
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.metrics_csv import MetricsCSV

PATIENCE = 10  # seconds for which a run waits for a server
# MLflow's own patience is 120 seconds, eight times; the other services log in the background.
LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "4", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
CALLS = ("log_metrics", "log_hyperparams", "log_graph", "save", "after_save_checkpoint", "finalize")


class Guard:
    """Makes the calls of a logger, until one fails.

    Args:
        name: name of the logger in the config.
    """

    def __init__(self, name: str) -> None:
        self.name, self.failed = name, False

    def call(self, method: Any, *args: Any, **kwargs: Any) -> None:
        try:
            _ = self.failed or method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  of whatever kind
            self.fail(error)

    def fail(self, error: Exception) -> None:
        self.failed = True
        warn(f"logger.{self.name} has failed ({brief(error)}): training goes on without it")

    def begin(self, logger: Logger) -> None:
        """Begin the run at the service.

        Raises:
            ConfigError: it refuses: there is no key or no account, or a value is wrong.
        """
        outcome: list[Exception | None] = [TimeoutError(f"no answer within {PATIENCE} seconds")]
        thread = Thread(target=connect, args=(logger, outcome), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        if error := outcome[-1]:
            if not is_away(error):
                raise ConfigError(f"logger.{self.name} cannot begin: {brief(error)}") from error
            self.fail(error)


def connect(logger: Any, outcome: list[Exception | None]) -> None:
    """Begin the run of a logger and append what went wrong, or None."""
    try:
        _ = getattr(logger, "experiment", None)
        outcome.append(None)
    except Exception as error:  # noqa: BLE001  of whatever kind
        outcome.append(error)


def guarded(name: str, logger: Any) -> Any:
    """Let no call of a logger end the run; metrics.csv is none that may fail."""
    if not isinstance(logger, MetricsCSV):
        logger.guard = Guard(name)
        for method in CALLS:
            setattr(logger, method, partial(logger.guard.call, getattr(logger, method)))
    return logger


def begin(trainer: Trainer) -> dict[str, str]:
    """Begin the runs of the loggers and return the names that a service has given them, for a later start to continue.

    A logger whose server is away is left out of the trainer's.
    """
    os.environ.update(LIMITS | os.environ)
    ids = {}
    for logger in list(trainer.loggers):
        if guard := vars(logger).get("guard"):
            guard.begin(logger)
            if guard.failed:
                trainer.loggers.remove(logger)
            elif isinstance(logger.version, str) and logger.version:
                ids[guard.name] = logger.version
    return ids


def is_away(error: BaseException | None) -> bool:
    """Say whether an error comes from a network that does not reach a server."""
    away = isinstance(error, OSError) or re.search("Connection|Timeout|Comm", type(error).__name__)
    return error is not None and (bool(away) or is_away(error.__cause__ or error.__context__))


def brief(error: BaseException) -> str:
    """Return the first line of an error."""
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)

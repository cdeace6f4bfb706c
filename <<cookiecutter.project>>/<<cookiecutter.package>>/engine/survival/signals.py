"""The signals that ask a run to stop."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from <<cookiecutter.package>>.engine.errors import Preempted


def stop_signals() -> list[signal.Signals]:
    """Return those that this system has; none outside the main thread, where Python allows no handler."""
    if threading.current_thread() is not threading.main_thread():
        return []
    names = ["SIGTERM", "SIGINT", "SIGUSR1"]  # Windows has two
    if getattr(signal, "SIGHUP", None) and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        names.append("SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def handle_stop(handler: Callable[[int, Any], None] | signal.Handlers) -> None:
    """Give all of them one handler."""
    for number in stop_signals():
        signal.signal(number, handler)


@contextmanager
def stopping_at_once() -> Generator[None]:
    """Raise Preempted at a signal, until another handler is set; put the handlers back that were there before the block."""
    before = {number: signal.getsignal(number) for number in stop_signals()}
    handle_stop(stop_at_once)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_at_once(number: int, frame: Any) -> None:
    raise Preempted(number, rank_zero_only.rank)

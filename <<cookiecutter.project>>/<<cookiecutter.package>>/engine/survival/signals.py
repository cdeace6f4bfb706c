"""The signals that ask a run to stop."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any


def stop_signals() -> list[signal.Signals]:
    """Return those that this system has; none outside the main thread, where Python allows no handler."""
    names = ("SIGTERM", "SIGINT", "SIGUSR1") if threading.current_thread() is threading.main_thread() else ()
    return [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has two


def handle_stop(handler: Callable[[int, Any], None] | signal.Handlers) -> None:
    """Give all of them one handler."""
    for number in stop_signals():
        signal.signal(number, handler)


@contextmanager
def handlers_restored() -> Generator[None]:
    """Put the handlers back that were there before the block."""
    before = {number: signal.getsignal(number) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

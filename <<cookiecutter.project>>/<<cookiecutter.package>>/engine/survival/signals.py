"""The signals that ask a run to stop."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

STOP = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]  # Windows: two


def handle_stop(handler: Callable[[int, Any], None] | signal.Handlers) -> None:
    """Give all of them one handler; outside the main thread Python allows none."""
    if threading.current_thread() is threading.main_thread():
        for number in STOP:
            signal.signal(number, handler)


@contextmanager
def handlers_restored() -> Generator[None]:
    """Put the handlers back that were there before the block."""
    before = {number: signal.getsignal(number) for number in STOP}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)

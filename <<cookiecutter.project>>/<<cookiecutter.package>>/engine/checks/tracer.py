"""Watch chosen Python functions being called, without touching the model."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Tracer:
    """Calls a handler whenever a function that it watches is called, or returns, while it is on.

    It is Python's profiling hook: nothing is patched, and nothing remains when it is off. Handlers must not raise.
    """

    def __init__(self) -> None:
        self.calls: dict[int, Callable[[FrameType], None]] = {}
        self.returns: dict[int, Callable[[FrameType, Any], None]] = {}

    def watch(
        self,
        function: Callable[..., Any] | None,
        called: Callable[[FrameType], None] | None = None,
        returned: Callable[[FrameType, Any], None] | None = None,
    ) -> None:
        """Watch a Python function; what decorators have put around it is left out."""
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if code and called:
            self.calls[id(code)] = called
        if code and returned:
            self.returns[id(code)] = returned

    def start(self) -> bool:
        """Switch it on, instead of another Tracer until `stop`; return False when a profiler is running."""
        self.outer = sys.getprofile()
        if self.outer is None or isinstance(getattr(self.outer, "__self__", None), Tracer):
            sys.setprofile(self.event)
        return self.is_on()

    def is_on(self) -> bool:
        return sys.getprofile() == self.event

    def stop(self) -> None:
        if self.is_on():
            sys.setprofile(self.outer)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Switch it off for a while, if it is on."""
        was_on = self.is_on()
        self.stop()
        try:
            yield
        finally:
            if was_on:
                self.start()

    def event(self, frame: FrameType, event: str, value: Any) -> None:
        if event == "call":
            if handler := self.calls.get(id(frame.f_code)):
                handler(frame)
        elif event == "return" and (handler := self.returns.get(id(frame.f_code))):
            handler(frame, value)

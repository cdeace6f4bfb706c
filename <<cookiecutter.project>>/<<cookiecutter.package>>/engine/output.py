"""The output of a script never ends it: a pipe that is closed, a full disk, a terminal that is gone or knows only ASCII."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class Output:
    """Stands for a stream; what cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self.stream.flush()


def guard_output() -> None:
    """Replace the output and the error stream of this process."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115  none: it was closed before Python began
        if not isinstance(stream, Output):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # letters that the encoding does not have
            setattr(sys, name, Output(stream))

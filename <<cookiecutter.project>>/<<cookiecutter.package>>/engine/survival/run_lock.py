"""A lock on the folder of a run that ends with the process that holds it, however it ends."""

import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from <<cookiecutter.package>>.engine.console import warn
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.survival.durable_file import UNSUPPORTED


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the lock of a folder: a file beside it, removed in the end.

    It belongs to this process alone: processes of a loader, which may outlive it for some seconds, do not inherit it.
    All paths to a folder, through links, are one lock.

    Raises:
        ConfigError: another process holds it.
    """
    path = (real := folder.resolve()).with_name(f".{real.name}.lock")
    with take(path, folder) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps a file that is open
                path.unlink()


def take(path: Path, folder: Path) -> TextIO:
    """Open and lock the file; open it again if its last holder has removed it meanwhile."""
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
        try:
            lock(file)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            holder = file.read() or "another process"
            raise ConfigError(f"{folder} is in use by {holder}: wait for it, or choose another name") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be locked: {error.strerror}. Choose another folder") from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def lock(file: TextIO) -> None:
    """Take the lock, or raise OSError at once; where the file system has no locks, say so and go on without."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**30)  # beyond the text: Windows keeps others from reading what is locked
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warn(f"this file system has no locks ({error.strerror}): take care that no two processes use the same name")

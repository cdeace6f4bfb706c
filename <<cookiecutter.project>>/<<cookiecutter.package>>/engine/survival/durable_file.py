"""Replace a file in one step: a kill, a crash or a full disk leaves the old file or the new one, whole."""

import errno
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lightning.pytorch.utilities import rank_zero_only

from <<cookiecutter.package>>.engine.console import warn
from <<cookiecutter.package>>.engine.errors import TrainingError

# What a file system answers when it has no such thing at all, as network file systems and shared folders do: no fault.
UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EBADF}

kept: dict[Path, os.stat_result] = {}  # the folders of the runs of this process, as they were when they were opened


@contextmanager
def keeping(folder: Path) -> Generator[None]:
    """Within the block, write nothing into a folder that is no longer the one it was: moved, deleted or replaced."""
    kept[folder] = folder.stat()
    try:
        yield
    finally:
        del kept[folder]


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends.

    It is written in the folder of `path`, because only within one file system is a move one step, and is synced to the
    disk before it gets its name.

    Raises:
        TrainingError: the disk is full, the folder is read-only, ...; what stood at `path` is intact.
    """
    if gone_folder(path):
        raise cannot_write(path, OSError())
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
        sync(unfinished)
        os.replace(unfinished, path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink()
        reason = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save wraps it
        if not isinstance(reason, OSError):
            raise
        raise cannot_write(path, reason) from error


@rank_zero_only
def copy_file(source: str, target: str) -> None:
    """Copy a file over another in one step."""
    with open(source, "rb") as original, replacing(Path(target)) as copy:
        shutil.copyfileobj(original, copy, length=2**20)


def cannot_write(path: Path, error: OSError) -> TrainingError:
    """Return the error that says so and what to do."""
    if folder := gone_folder(path):
        return TrainingError(
            f"{folder} was moved, deleted or replaced while its run was training: nothing more is written. "
            "Move it back, and run the same command again"
        )
    return TrainingError(
        f"{path} cannot be written: {error.strerror or error}. What was written before is intact: "
        "make room or make the folder writable, and run the same command again"
    )


def gone_folder(path: Path) -> Path | None:
    """Return the folder of a run, around a file, that is no longer what it was."""
    for folder in kept.keys() & set(path.parents):
        if not (folder.exists() and os.path.samestat(folder.stat(), kept[folder])):
            return folder
    return None


def sync(path: Path) -> None:
    """Have a file, or the names of the files in a folder, written to the disk where the file system can."""
    if os.name != "posix" and path.is_dir():  # Windows cannot open a folder, and needs no such step
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warn(f"this file system cannot sync ({error.strerror}): a power cut may cost what was written last")
    finally:
        os.close(descriptor)

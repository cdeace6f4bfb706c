"""Images decoded once: a file of pixels that every later start maps into memory and every process shares."""

import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from <<cookiecutter.package>>.data.images.class_folders import ImageFile
from <<cookiecutter.package>>.data.images.read_image import VERSION, Unreadable, read_image
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError, TrainingError
from <<cookiecutter.package>>.engine.survival.durable_file import replacing
from <<cookiecutter.package>>.engine.survival.run_lock import lock

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the disk, the quota, what a file may hold


class ImageCache:
    """What is known of the files of one folder, read to one size: their pixels, and which cannot be read.

    It is kept in two files in `folder`, whose names stand for the root and the settings, and for the path, size and
    time of every image: when one changes, all are read again and the former files are removed. Of several
    processes one reads, the others wait. The `.json` is written last: without it the rest does not count.

    Args:
        folder: holds the caches; is made.
        root: the paths of the files are relative to it.
        files: one row of pixels for each, in this order; that of an unreadable file is left out of use.
        size: height and width in pixels.
        channels: 3 or 1.
        keep_pixels: False only finds out which files cannot be read.

    Raises:
        ConfigError: the disk is full, the folder cannot be written, ...; nothing is left over.
    """

    def __init__(
        self, folder: Path, root: Path, files: Sequence[ImageFile], *, size: int, channels: int, keep_pixels: bool
    ) -> None:
        self.root, self.files, self.size, self.channels = root, files, size, channels
        self.keep_pixels = keep_pixels
        self.settings = hashlib.sha256(os.fsencode(f"{root.resolve()}\0{size} {channels} {VERSION}")).hexdigest()[:8]
        content = hashlib.sha256()
        for file in files:
            content.update(os.fsencode(f"{file.path}\0{file.size}\0{file.mtime_ns}\0"))
        self.pixels_path = folder / f"{self.settings}-{content.hexdigest()[:16]}.uint8"
        self.record_path = self.pixels_path.with_suffix(".json")
        if not self.is_complete():
            with waiting_for_lock(folder / f".{self.settings}.lock"):
                if not self.is_complete():
                    self.remove_former()
                    self.fill()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.files), self.size, self.size, self.channels

    @property
    def num_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) if self.keep_pixels else 0

    def is_complete(self) -> bool:
        written = self.pixels_path.stat().st_size if self.pixels_path.exists() else 0
        return self.record_path.exists() and (written == self.num_bytes or not self.keep_pixels)

    def unreadable(self) -> dict[str, str]:
        """Return why a file cannot be read, by path."""
        return json.loads(self.record_path.read_text())["unreadable"]

    def hashes(self) -> list[str]:
        """Return a hash of what each file holds."""
        return json.loads(self.record_path.read_text())["sha256"]

    def remove_former(self) -> None:
        """Remove what is known of former files, and what a killed process has left."""
        paths = [path for path in self.pixels_path.parent.iterdir() if f"{self.settings}-" in path.name]
        num_bytes = sum(path.stat().st_size for path in paths)
        for path in paths:
            with suppress(PermissionError):  # Windows keeps what another run has mapped
                path.unlink()
        if num_bytes > 10**6:
            say(f"removes {in_words(num_bytes)} from {str(self.pixels_path.parent)!r}: files have changed since")

    def fill(self) -> None:
        """Read every file, and write both files of the cache."""
        folder, images = str(self.pixels_path.parent), f"the {len(self.files)} images of {str(self.root)!r}"
        needed = f"{images} at data.size={self.size} take {in_words(self.num_bytes)} in data.cache_dir={folder!r}"
        remedy = "Choose a smaller size, another cache_dir, or data.cache=false, which decodes again in every epoch"
        free = shutil.disk_usage(folder).free
        if free < self.num_bytes:
            raise ConfigError(f"{needed}, where {in_words(free)} are free. {remedy}")
        say(f"decodes once: {needed}" if self.keep_pixels else f"looks once for damaged files among {images}")
        unreadable: dict[str, str] = {}
        hashes = []
        try:
            with replacing(self.pixels_path) if self.keep_pixels else open(os.devnull, "wb") as output:
                for file, (image, sha256) in zip(self.files, self.images(), strict=True):
                    if isinstance(image, Unreadable):
                        unreadable[file.path] = str(image)
                        image = np.zeros(self.shape[1:], dtype=np.uint8)
                    output.write(image.tobytes())
                    hashes.append(sha256[:32])
            with replacing(self.record_path) as output:
                record = {"root": str(self.root), "unreadable": unreadable, "sha256": hashes}
                output.write(json.dumps(record, indent=2).encode())
        except TrainingError as error:
            if getattr(error.__cause__, "errno", None) in FULL:
                raise ConfigError(f"{error}\n{needed}. {remedy}") from error
            raise

    def images(self) -> Iterator[tuple[np.ndarray | Unreadable, str]]:
        """Yield the image (H, W, C) of each file, or what is wrong with it, and its hash, from a thread for each core."""

        def read(file: ImageFile) -> tuple[np.ndarray | Unreadable, str]:
            path = self.root / file.path
            try:
                return read_image(path, self.size, self.channels), hashlib.sha256(path.read_bytes()).hexdigest()
            except Unreadable as error:
                return error, ""

        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        ahead = 32 * threads  # read, and not yet written
        bar = tqdm(total=len(self.files), unit=" images", leave=False, file=sys.stdout, disable=not sys.stdout.isatty())
        with bar, ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(self.files), ahead):
                for image in pool.map(read, self.files[start : start + ahead]):
                    yield image
                    bar.update()


@contextmanager
def waiting_for_lock(path: Path) -> Generator[None]:
    """Hold a lock, for which others wait; it ends with the process that holds it, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        told = False
        while not is_locked(file):
            if not told:
                say(f"waits for another process, which reads the same images into {str(path.parent)!r}")
            told = True
            time.sleep(0.2)
    except OSError as error:
        raise ConfigError(f"data.cache_dir: {str(path)!r} cannot be locked: {error.strerror}") from error
    with file:
        yield


def is_locked(file: TextIO) -> bool:
    """Take the lock of a file, if no other process holds it."""
    try:
        lock(file)
    except (BlockingIOError, PermissionError):
        return False
    return True


def in_words(num_bytes: int) -> str:
    """Return a number of bytes as 1.2 GB or the like."""
    power = min((len(str(num_bytes)) - 1) // 3, 3)
    return f"{num_bytes / 1000**power:.1f} {('bytes', 'kB', 'MB', 'GB')[power]}"

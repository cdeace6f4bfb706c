"""Images decoded once: a file of pixels that every later start maps into memory and every process shares."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from <<cookiecutter.package>>.data.images.class_folders import ImageFile
from <<cookiecutter.package>>.engine.console import say, warn
from <<cookiecutter.package>>.engine.errors import ConfigError, TrainingError
from <<cookiecutter.package>>.engine.survival.durable_file import replacing
from <<cookiecutter.package>>.engine.survival.run_lock import lock

from .read_image import VERSION, Picture, Unreadable, open_file, read_image

CHECKED_BYTES, CHECKED_FILES = 2**26, 1000  # compared at every start, within a tenth of a second


class ImageCache:
    """What is known of the files of one folder, read to one size: their pixels, and which cannot be read.

    It is kept in two files in `folder`, whose names stand for the root and the settings, and for the path, size and
    time of every image: when one changes, all are read again and the former files are removed. Of several
    processes one reads, the others wait. The `.json` is written last: without it the rest does not count. At every
    start files and pixels are compared with what was written: all of them in a small folder, else some.

    `facts` (N, 3), uint64, are a hash of each file, a hash of its pixels, and the largest value of what has more than 8
    bits, else 0; `unreadable` says why a file cannot be read, by path.

    Args:
        folder: holds the caches; is made.
        root: the paths of the files are relative to it.
        files: one row of pixels for each, in this order; that of an unreadable file is left out of use.
        keep_pixels: False only finds out which files cannot be read.
        reading: size, channels and white of `read_image`.

    Raises:
        ConfigError: the disk is full, the folder cannot be written, ...; nothing is left over.
    """

    def __init__(self, folder: Path, root: Path, files: list[ImageFile], *, keep_pixels: bool, **reading: Any) -> None:
        self.root, self.files, self.keep_pixels = root, files, keep_pixels
        self.shape = len(files), reading["size"], reading["size"], reading["channels"]
        self.num_bytes = int(np.prod(self.shape, dtype=np.int64)) if keep_pixels else 0
        self.read = partial(read_image, **reading)
        key = f"{root.resolve()}\0{reading} {VERSION} {keep_pixels}"
        self.settings = hashlib.sha256(os.fsencode(key)).hexdigest()[:8]
        content = hashlib.sha256()
        for file in files:
            content.update(os.fsencode(f"{file.path}\0{file.size}\0{file.mtime_ns}\0"))
        self.pixels_path = folder / f"{self.settings}-{content.hexdigest()[:16]}.{'uint8' if keep_pixels else 'hashes'}"
        self.record_path = self.pixels_path.with_suffix(".json")
        if not self.is_complete():
            with wait_for_lock(folder / f".{self.settings}.lock"):
                if not self.is_complete():
                    self.fill()

    def is_complete(self) -> bool:
        """Read what is written, and say whether it is all there and still that of the files."""
        try:
            self.unreadable: dict[str, str] = json.loads(self.record_path.read_text())["unreadable"]
            facts = np.fromfile(self.pixels_path, dtype=np.uint64, offset=self.num_bytes)
            self.facts = facts.reshape(len(self.files), 3)
        except (OSError, ValueError, LookupError, TypeError):  # missing, cut off, or written by another program
            return False
        num_bytes = self.num_bytes + sum(file.size for file in self.files)
        step = max(num_bytes // CHECKED_BYTES, len(self.files) // CHECKED_FILES) + 1
        places = set(range(0, len(self.files), step))
        # One that could not be opened may be by now.
        places |= {n for n, file in enumerate(self.files) if file.path in self.unreadable}
        if any(self.facts[n, 0] != file_hash(self.root / self.files[n].path) for n in places):
            return False
        pixels = np.memmap(self.pixels_path, mode="r", shape=self.shape) if self.keep_pixels else []
        return all(self.facts[n, 1] == short(hashlib.sha256(pixels[n])) for n in places if self.keep_pixels)

    def fill(self) -> None:
        """Read every file, and write both files of the cache, in place of those of former files or a killed process."""
        folder, images = self.pixels_path.parent, f"the {len(self.files)} images of {str(self.root)!r}"
        for path in folder.glob(f"*{self.settings}-*"):
            with suppress(PermissionError):  # Windows keeps what another run has mapped
                path.unlink()
        size = tqdm.format_sizeof(self.num_bytes, "B")
        needed = f"{images} at data.size={self.shape[1]} take {size} in data.cache_dir={str(folder)!r}"
        remedy = "Choose a smaller size, another cache_dir, or data.cache=false, which decodes again in every epoch"
        free = shutil.disk_usage(folder).free
        if free < self.num_bytes:
            raise ConfigError(f"{needed}, where {tqdm.format_sizeof(free, 'B')} are free. {remedy}")
        say(f"decodes once: {needed}" if self.keep_pixels else f"looks once for damaged files among {images}")
        self.unreadable, self.facts = {}, np.zeros((len(self.files), 3), dtype=np.uint64)
        try:
            with replacing(self.pixels_path) as output:
                for n, (key, picture) in enumerate(self.pictures()):
                    self.facts[n] = key, short(hashlib.sha256(picture.pixels.tobytes())), picture.largest
                    if self.keep_pixels:
                        output.write(picture.pixels.tobytes())
                output.write(self.facts.tobytes())
            with replacing(self.record_path) as output:
                output.write(json.dumps({"root": str(self.root), "unreadable": self.unreadable}, indent=2).encode())
        except TrainingError as error:
            raise ConfigError(f"{error}\n{needed}. {remedy}") from error

    def pictures(self) -> Iterator[tuple[int, Picture]]:
        """Yield the hash and the picture of each file, black where it is unreadable, read by a thread for each core."""

        def read(file: ImageFile) -> tuple[int, Picture]:
            path = self.root / file.path
            try:
                picture = self.read(path)
            except Unreadable as error:
                self.unreadable[file.path] = str(error)
                picture = Picture(np.zeros(self.shape[1:], dtype=np.uint8), largest=0)
            return file_hash(path), picture

        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        ahead = 32 * threads  # read, and not yet written
        starts = range(0, len(self.files), ahead)
        with ThreadPoolExecutor(threads) as pool:
            for start in tqdm(starts, unit=f" x {ahead} images", leave=False, disable=None):
                yield from pool.map(read, self.files[start : start + ahead])


def file_hash(path: Path) -> int:
    """Return a hash of the content of a file, 0 if it cannot be read."""
    try:
        with open_file(path) as file:
            return short(hashlib.file_digest(file, "sha256"))
    except (OSError, Unreadable):
        return 0


def short(digest: Any) -> int:
    return int.from_bytes(digest.digest()[:8], "little")


def wait_for_lock(path: Path) -> TextIO:
    """Return a file that is locked until it is closed, or its process ends, however that ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        while True:
            with suppress(BlockingIOError, PermissionError):
                lock(file)
                return file
            warn(f"waits for another process, which reads the same images into {str(path.parent)!r}")
            time.sleep(0.2)
    except OSError as error:
        raise ConfigError(f"data.cache_dir: {str(path)!r} cannot be locked: {error.strerror}") from error

"""What published data sets of images share: files that are fetched once, and their official split."""

import hashlib
import os
import shutil
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset

from <<cookiecutter.package>>.data.images.image_data import ImageData
from <<cookiecutter.package>>.data.split import draw
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.survival.run_lock import locked

try:
    from torchvision import datasets
    from torchvision.datasets.utils import download_url
except ModuleNotFoundError as error:
    raise ConfigError(f'{error.name} is missing: `uv sync --extra images` or `pip install -e ".[images]"`') from error

Samples = tuple[np.ndarray, np.ndarray]  # images (N, H, W, C), uint8, and labels (N,), whole numbers


class PublishedFile(NamedTuple):
    path: str  # below `root`, where torchvision keeps it too
    md5: str  # of a download
    url: str
    extracted: Sequence[str]  # paths below `root` that are read where the file is missing


class OfficialImages(ImageData):
    """Images whose authors say which are for training and which for testing; validation is drawn from the former.

    An image for training whose pixels also stand in test, or earlier in training, is left out: CIFAR-100 has some
    (Barz and Denzler, Do We Train on Test Data? Purging CIFAR of Near-Duplicates, 2020).

    Args:
        root: folder of the files; relative to where you are.
        download: fetch files that are missing.
        val_fraction: share of the training images kept for validation, between 0 and 1; each class in proportion.
        split_seed: draws the validation images.
        images: mean, std, augment, batch_size and the like of ImageData.
    """

    source: str  # class of torchvision.datasets, which knows the files' addresses and checksums

    def __init__(
        self, *, root: str, download: bool = True, val_fraction: float = 0.1, split_seed: int = 0, **images: Any
    ) -> None:
        if not 0 < val_fraction < 1:
            raise ConfigError(f"data.val_fraction must be between 0 and 1, got {val_fraction}")
        folder = Path(root).expanduser().absolute()
        self.published = getattr(datasets, self.source)
        provide(self.files(), folder, download)
        train, test = self.read(folder)
        kept = without_copies(train[0], test[0])
        if copies := len(train[0]) - len(kept):
            say(f"{self.source}: {copies} training images are copies, of test images or others: left out")
        drawn = draw(train[1][kept], {"val": val_fraction}, split_seed)
        chosen = {name: kept[places] for name, places in drawn.items()}
        parts = b"".join(hashlib.sha256(part.data).digest() for part in (*train, *test, *chosen.values()))
        both, last = (  # images (N, C, H, W), whose memory is channels_last, and labels (N,), int64
            TensorDataset(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(labels).long())
            for pixels, labels in (train, test)
        )
        splits = {name: Subset(both, torch.from_numpy(indices)) for name, indices in chosen.items()}  # type: ignore[arg-type]
        super().__init__({**splits, "test": last}, sha256=hashlib.sha256(parts).hexdigest(), **images)

    def files(self) -> list[PublishedFile]:
        """Return the files that `read` needs."""
        raise NotImplementedError

    def read(self, folder: Path) -> tuple[Samples, Samples]:
        """Return the samples of train and test, or raise ConfigError for a file that cannot be read."""
        raise NotImplementedError


def provide(files: Sequence[PublishedFile], folder: Path, download: bool) -> None:
    """Raise ConfigError when one of the files is missing and cannot be downloaded into the folder."""
    missing = [file for file in files if not all(map(os.path.exists, places(file, folder)))]
    needed = f"Put into {folder}, or set data.root to a folder with:" + "".join(
        f"\n  {file.path} (from {file.url}), or extracted: {', '.join(file.extracted)}" for file in missing
    )
    if missing and not download:
        raise ConfigError(f"{len(missing)} of {len(files)} files are missing and data.download is false. {needed}")
    for file in missing:
        try:
            fetch(file, folder / file.path)
        except (OSError, RuntimeError, HTTPException) as error:
            raise ConfigError(f"{folder / file.path} cannot be downloaded: {error}. {needed}") from error


def places(file: PublishedFile, folder: Path) -> list[Path]:
    """Return what is read: the file itself, or where that is missing, what is extracted from it."""
    return [folder / path for path in ([file.path] if os.path.exists(folder / file.path) else file.extracted)]


def fetch(file: PublishedFile, path: Path) -> None:
    """Download a file, which has its name when it is whole; of several processes one does so, and the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")  # a folder, emptied by the next who comes after a kill
    while not path.exists():
        try:
            with locked(path):
                if not path.exists():
                    say(f"downloads {file.url}")
                    try:
                        download_url(file.url, unfinished, path.name, file.md5)
                        os.replace(unfinished / path.name, path)
                    finally:
                        shutil.rmtree(unfinished, ignore_errors=True)
        except ConfigError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            time.sleep(0.5)


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Name the file in a ConfigError, whatever is raised by what reads it."""
    try:
        yield
    except Exception as error:  # gzip, tarfile, pickle and numpy raise nearly anything when it is damaged
        advice = "If it is damaged or another file, delete it to download it again, or put a whole one there"
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}: {error}). {advice}") from error


def check_labels(labels: np.ndarray, num_images: int, num_classes: int) -> None:
    """Raise ValueError unless there is a label for each image, a whole number below `num_classes`."""
    fitting = num_images > 0 and labels.shape == (num_images,) and labels.dtype.kind in "iu"
    if not (fitting and labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(f"labels must be {num_images} whole numbers from 0 to {num_classes - 1}")


def without_copies(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the places, (M,), int64, of images whose pixels stand neither among the others nor earlier."""
    seen = {hash(image.tobytes()) for image in others}  # of 64 bits
    hashes = enumerate(hash(image.tobytes()) for image in images)
    return np.array([place for place, key in hashes if key not in seen and not seen.add(key)], dtype=np.int64)

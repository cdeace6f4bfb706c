"""Find images that lie in one folder per class, and share them out among train, val and test."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from <<cookiecutter.package>>.data.images.read_image import EXTENSIONS
from <<cookiecutter.package>>.data.split import draw
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

SPLITS = ("train", "val", "test")
LAYOUT = (
    "A folder for each class is expected, as root/cat/1.jpg and root/dog/2.jpg, "
    "or the same for each split, as root/train/cat/1.jpg and root/test/cat/2.jpg"
)


class ImageFile(NamedTuple):
    """A file, before it is read."""

    path: str  # relative to root, with / between the folders
    split: str  # train, val, test, or nothing where the folders do not say
    class_name: str
    size: int  # in bytes
    mtime_ns: int


def find_images(root: Path) -> tuple[list[ImageFile], list[str]]:
    """Return the images below a folder, sorted by path, and the names of the classes, sorted.

    Folders within that of a class count as part of it; names that begin with a dot and files of other kinds do not.

    Raises:
        ConfigError: the folder cannot be read, or is not laid out as LAYOUT says.
    """
    try:
        splits = split_folders(root)
        folders = [(split, name) for split in splits for name in subfolders(root / split)]
        files = [
            image_file(root, path, split, name) for split, name in folders for path in image_paths(root / split / name)
        ]
    except OSError as error:
        raise ConfigError(f"data.root: {str(error.filename)!r} cannot be read: {error.strerror}. {LAYOUT}") from error
    for split in splits:
        if not any(file.split == split for file in files):
            kinds = " ".join(sorted(EXTENSIONS))
            raise ConfigError(f"data.root={str(root / split)!r} has no images ({kinds}) in folders. {LAYOUT}")
    class_names = sorted({name for _, name in folders})
    if len(class_names) == 1:
        raise ConfigError(f"data.root={str(root)!r} has only one class, {class_names[0]!r}. {LAYOUT}")
    return sorted(files), class_names


def split_folders(root: Path) -> list[str]:
    """Return those of train, val and test that have a folder, or an empty name where the folders are classes."""
    names = subfolders(root)
    if not names:
        raise ConfigError(f"data.root={str(root)!r} has no folders. {LAYOUT}")
    # A class may be called train: then there are images in its folder.
    by_split = "train" in names and not any(map(is_image, os.listdir(root / "train")))
    if not by_split and not set(names) <= set(SPLITS):
        return [""]
    others = [name for name in names if name not in SPLITS]
    if others or "train" not in names:
        wrong = f"beside train there is {some(others)}" if others else "there is no train"
        raise ConfigError(f"data.root={str(root)!r} must hold train, val and test, and nothing else: {wrong}. {LAYOUT}")
    return names


def subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def image_paths(folder: Path) -> Iterator[str]:
    """Yield the images in a folder and those within it; a link that leads back to where it is found is not followed."""

    def fail(error: OSError) -> None:
        raise error

    for parent, names, file_names in os.walk(folder, followlinks=True, onerror=fail):
        here = Path(os.path.realpath(parent))
        names[:] = [name for name in names if not name.startswith(".")]
        names[:] = [name for name in names if not here.is_relative_to(os.path.realpath(os.path.join(parent, name)))]
        yield from (os.path.join(parent, name) for name in file_names if is_image(name))


def image_file(root: Path, path: str, split: str, class_name: str) -> ImageFile:
    relative = Path(path).relative_to(root).as_posix()
    if not os.path.exists(path):  # a broken link is named with the unreadable files
        return ImageFile(relative, split, class_name, size=0, mtime_ns=0)
    status = os.stat(path)
    return ImageFile(relative, split, class_name, status.st_size, status.st_mtime_ns)


def share_out(
    files: Sequence[ImageFile], class_names: Sequence[str], *, val_fraction: float, test_fraction: float, seed: int
) -> dict[str, np.ndarray]:
    """Return the places of the files of train, val and test, ascending.

    What has no folder of its own is drawn, from each class in proportion and at least one image.

    Raises:
        ConfigError: the fractions leave nothing, or a class has too few images.
    """
    if min(val_fraction, test_fraction) <= 0 or val_fraction + test_fraction >= 1:
        raise ConfigError(
            "data.val_fraction and data.test_fraction must be above 0 and together below 1, "
            f"got {val_fraction} and {test_fraction}"
        )
    given = {file.split for file in files}
    fractions = {name: f for name, f in (("val", val_fraction), ("test", test_fraction)) if name not in given}
    members = {
        name: np.array([n for n, file in enumerate(files) if file.split == name]) for name in given & {"val", "test"}
    }
    rest = np.array([n for n, file in enumerate(files) if file.split in ("", "train")], dtype=np.int64)
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([numbers[files[n].class_name] for n in rest], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(class_names))
    if counts.min() <= len(fractions):
        raise ConfigError(
            f"data.root: class {class_names[int(counts.argmin())]!r} has {counts.min()} images to train on, and needs at least "
            f"{len(fractions) + 1}: add some, or remove its folder from every split"
        )
    drawn = {name: rest[places] for name, places in draw(labels, fractions, seed).items()}
    return {name: (drawn | members)[name] for name in SPLITS}


def check_classes(files: Sequence[ImageFile], class_names: Sequence[str], splits: Mapping[str, np.ndarray]) -> None:
    """Say which classes a split lacks; raise ConfigError when it is train."""
    for split, places in splits.items():
        missing = sorted(set(class_names) - {files[place].class_name for place in places})
        if missing and (split == "train" or not len(places)):
            raise ConfigError(f"data.root: {split} has no readable images of class {some(missing)}")
        if missing:
            say(f"{split} has no images of class {some(missing)}: no score there tells how well it is known")


def folder_sha256(files: Sequence[ImageFile], hashes: Sequence[str], splits: Mapping[str, np.ndarray]) -> str:
    """Return a hash of the class and the content of every file of each split."""
    digest = hashlib.sha256()
    for split, places in splits.items():
        for place in places:
            digest.update(os.fsencode(f"{split}\0{files[place].class_name}\0{hashes[place]}\0"))
    return digest.hexdigest()


def some(names: Sequence[str], most: int = 10) -> str:
    """Return the first few names, so that a line break or an odd letter in them shows."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more

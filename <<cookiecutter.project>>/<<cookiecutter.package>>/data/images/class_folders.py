"""Find images that lie in one folder per class, and share them out among train, val and test."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import numpy as np

from <<cookiecutter.package>>.data.images.read_image import is_image
from <<cookiecutter.package>>.data.split import draw
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

# The words by which folders of a split are called.
SPLITS = {
    "train": {"train", "training", "trn", "trainval", "entrenamiento"},
    "val": {"val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation", "validación"},
    "test": {"test", "tests", "testing", "tst", "holdout", "prueba", "pruebas"},
}
FILLERS = re.compile(r"(data ?)?sets?|data|images?|imgs?|photos?|pictures?|pics|splits?|folders?")
# What a NAS, an operating system or an editor keeps beside files.
SERVICE = re.compile(
    r"[.@].*|.*~|~snapshot|#(recycle|snapshot)|\$recycle\.bin|recycler|__macosx|__pycache__|_vti_\w+|lost\+found|"
    r"system volume information|network trash folder|temporary items",
    re.IGNORECASE,
)
LAYOUT = (
    "A folder for each class is expected, as root/cat/1.jpg and root/dog/2.jpg, "
    "or the same for each split, as root/train/cat/1.jpg and root/test/cat/2.jpg"
)


class ImageFile(NamedTuple):
    """A file, before it is read."""

    path: str  # relative to root, with / between the folders
    split: str  # train, val, test, or nothing where the folders do not say
    class_name: str  # in Unicode's normal form C
    size: int  # in bytes
    mtime_ns: int


def find_images(root: Path) -> tuple[list[ImageFile], list[str]]:
    """Return the images below a folder, sorted by path, and the names of the classes, sorted.

    Folders within that of a class count as part of it. Names that begin with a dot are left out; so are those of
    SERVICE, files of other kinds and images in no folder of a class, which are counted and said.

    Raises:
        ConfigError: the folder cannot be read, or is not laid out as LAYOUT says.
    """
    files, names, left_out = [], set(), Counter()
    try:
        splits = split_folders(root)
        for folder, split in splits.items():
            for name in kept(subfolders(root / folder), left_out):
                names.add(name)
                seen = {os.path.realpath(root), os.path.realpath(root / folder)}
                paths = image_paths(root / folder / name, seen, left_out)
                files += (image_file(root, path, split, normalize("NFC", name)) for path in paths)
        outside = (path for folder in {"", *splits} for path in images_in(root / folder))
        left_out.update(f"{ending(path)} in no folder of a class" for path in outside)
    except OSError as error:
        raise ConfigError(f"data.root: {str(error.filename)!r} cannot be read: {error.strerror}. {LAYOUT}") from error
    if left_out:
        listed = [f"{count} {what}" for what, count in left_out.most_common()]
        say(f"left out of data.root={str(root)!r}: {some(listed)}")
    for folder, split in splits.items():
        if not any(file.split == split for file in files):
            raise ConfigError(f"data.root={str(root / folder)!r} has no images in folders of classes. {LAYOUT}")
    class_names = sorted({normalize("NFC", name) for name in names})
    if len(class_names) == 1:
        raise ConfigError(f"data.root={str(root)!r} has only one class, {class_names[0]!r}. {LAYOUT}")
    say_similar(names)
    return sorted(files), class_names


def split_folders(root: Path) -> dict[str, str]:
    """Return which of train, val and test each folder is, or empty names where the folders are classes.

    Raises:
        ConfigError: there are no folders, or some seem to be splits and it is not clear which.
    """
    names = kept(subfolders(root), Counter())
    if not names:
        raise ConfigError(f"data.root={str(root)!r} has no folders. {LAYOUT}")
    splits = {name: split_of(name) for name in names}
    alike = [name for name in names if splits[name] and len(words_of(name)) == 1]
    # A class may be called train: then there are images in its folder.
    if not all(splits.values()) and all(any(images_in(root / name)) for name in alike):
        if alike:
            say(f"{some(map(repr, alike))} is read as a class: it holds images, not a folder for each class")
        return {"": ""}
    found = {split: [name for name in names if splits[name] == split] for split in (*SPLITS, "")}
    if found[""] or not found["train"] or len(names) > len(set(splits.values())):
        listed = "; ".join(f"as {split or 'none'} {some(map(repr, found[split])) or 'nothing'}" for split in found)
        raise ConfigError(
            f"data.root={str(root)!r} must hold one train, at most one val and one test, and nothing else, if it holds "
            f"splits. It holds {listed}: rename or move what is not meant so. {LAYOUT}"
        )
    if other := [f"{name!r} as {split}" for name, split in splits.items() if name != split]:
        say(f"data.root={str(root)!r}: reads {some(other)}")
    return splits


def words_of(name: str) -> set[str]:
    """Return the words of a name that say something; `TrainSet_2` has train."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", normalize("NFKC", name)).casefold()
    return set(re.findall(r"[^\W\d_]+", FILLERS.sub(" ", words)))


def split_of(name: str) -> str:
    """Return the split that a folder seems to be, if it is one."""
    found = [split for split, called in SPLITS.items() if called & words_of(name)]
    return found[0] if len(found) == 1 else ""


def say_similar(names: Iterable[str]) -> None:
    """Say which folders a person may have meant to be one class."""
    groups = defaultdict(list)
    for name in sorted(names):
        groups[re.sub(r"[\s_\u200b-\u200d\ufeff]", "", normalize("NFKC", name).casefold())].append(name)
    for group in groups.values():
        if len(group) > 1:
            meant = "one class" if len({normalize("NFC", name) for name in group}) == 1 else "several classes"
            listed = some(map(ascii, group))
            say(f"{listed} differ only in case, space or Unicode form, and are {meant}: rename them if that is wrong")


def subfolders(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if os.path.isdir(folder / name))


def images_in(folder: Path) -> Iterator[str]:
    """Yield the images that lie in a folder itself."""
    paths = (str(path) for path in folder.iterdir() if path.name[0] != "." and not path.is_dir())
    return filter(is_image, paths)


def kept(names: Iterable[str], left_out: Counter[str]) -> list[str]:
    """Return the names of folders that are not those of SERVICE; count these, but not the hidden ones."""
    service = {name for name in names if SERVICE.fullmatch(name)}
    left_out.update(f"folder {name!r}" for name in service if not name.startswith("."))
    return [name for name in names if name not in service]


def image_paths(folder: Path, seen: set[str], left_out: Counter[str]) -> Iterator[str]:
    """Yield the images in a folder and those within it, each of which is entered once; count other files."""

    def fail(error: OSError) -> None:
        raise error

    for parent, names, file_names in os.walk(folder, followlinks=True, onerror=fail):
        here = os.path.realpath(parent)
        names[:] = sorted(kept(names, left_out)) if here not in seen else []
        for path in (os.path.join(parent, name) for name in file_names if here not in seen and name[0] != "."):
            if not path.endswith("~") and is_image(path):
                yield path
            else:
                left_out[ending(path)] += 1
        seen.add(here)


def ending(path: str) -> str:
    return os.path.splitext(path)[1].lower() or "without an ending"


def image_file(root: Path, path: str, split: str, class_name: str) -> ImageFile:
    # A broken link is named with the unreadable files.
    status = os.stat(path) if os.path.exists(path) else os.lstat(path)
    return ImageFile(Path(path).relative_to(root).as_posix(), split, class_name, status.st_size, status.st_mtime_ns)


def share_out(
    given: np.ndarray, labels: np.ndarray, class_names: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Return the places of the images of train, val and test, ascending.

    What has no folder of its own is drawn, from each class in proportion and at least one image.

    Args:
        given: (N,), the split that the folder of an image says, or nothing; "unreadable" is in no split.
        labels: (N,), int64.
        class_names: by label.
        fractions: shares of those of val and test that have no folder, and are drawn.
        seed: draws them.

    Raises:
        ConfigError: a class has too few images, or a split none.
    """
    rest = np.flatnonzero((given == "") | (given == "train"))
    counts = np.bincount(labels[rest], minlength=len(class_names))
    few = [f"{name!r} has {count}" for name, count in zip(class_names, counts, strict=True) if count <= len(fractions)]
    if few:
        raise ConfigError(
            f"data.root: each class needs {len(fractions) + 1} readable images to train on, one of them for each split "
            f"that has no folder: {some(few)}. Add images to these classes"
        )
    splits = {name: rest[places] for name, places in draw(labels[rest], fractions, seed).items()}
    splits = {name: splits[name] if name in splits else np.flatnonzero(given == name) for name in SPLITS}
    if empty := [name for name in SPLITS if not len(splits[name])]:
        raise ConfigError(f"data.root: {some(empty)} has no readable images")
    return splits


def say_missing(labels: np.ndarray, class_names: Sequence[str], splits: Mapping[str, np.ndarray]) -> None:
    """Say which classes a split lacks."""
    for split, places in splits.items():
        known = set(labels[places].tolist())
        if missing := [repr(name) for label, name in enumerate(class_names) if label not in known]:
            say(f"{split} has no readable images of class {some(missing)}: no score there tells how well it is known")


def say_copies(files: Sequence[ImageFile], hashes: np.ndarray, splits: Mapping[str, np.ndarray]) -> None:
    """Name the images whose pixels, of which `hashes` (N,) are, are those of another one; first those in two splits."""
    places = np.concatenate(list(splits.values()))
    names = np.array([*splits]).repeat([len(members) for members in splits.values()])
    _, first, group = np.unique(hashes[places], return_index=True, return_inverse=True)
    original = first[group]  # the first one of those that are equal
    copies = np.flatnonzero(original < np.arange(len(places)))
    across = names[copies] != names[original[copies]]
    order = copies[np.argsort(~across, kind="stable")]
    pairs = zip(places[order].tolist(), places[original[order]].tolist(), strict=True)
    if len(copies):
        listed = some((f"{files[copy].path!r} = {files[other].path!r}" for copy, other in pairs), between="\n  ")
        say(f"{len(copies)} images are copies of others, {across.sum()} of those in another split:\n  {listed}")


def content_sha256(
    hashes: np.ndarray, labels: np.ndarray, class_names: Sequence[str], splits: Mapping[str, np.ndarray]
) -> str:
    """Return a hash of the content and the class of every file of each split, wherever they lie."""
    digest = hashlib.sha256(repr(class_names).encode())
    for split, places in splits.items():
        digest.update(f"{split} {len(places)}".encode() + hashes[places].tobytes() + labels[places].tobytes())
    return digest.hexdigest()


def some(items: Iterable[str], between: str = ", ", most: int = 10) -> str:
    """Return the first few of some texts, and how many more there are."""
    texts = list(items)
    return between.join(texts[:most] + [f"and {len(texts) - most} more"] * (len(texts) > most))

"""Your own images: one folder per class."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from <<cookiecutter.package>>.data.images.image_cache import ImageCache
from <<cookiecutter.package>>.data.images.image_data import ImageData, check_statistics
from <<cookiecutter.package>>.data.images.read_image import Picture, Unreadable
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .class_folders import LAYOUT, content_sha256, find_images, say_copies, say_missing, share_out, some

IMAGENET = {"size": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class ImageFolder(ImageData):
    """The images of a folder for each class, (channels, size, size), uint8.

    They lie in root/<class>/, and val and test are drawn; or in root/train/<class>/, and val and test beside it:
    what has no folder is drawn from train. The files are decoded once, into a cache that starts share, and that a
    data set larger than memory is read from.

    Args:
        root: the folder; None says what is expected in it.
        size: height and width in pixels: the shorter side is scaled to it, and the middle of the longer one is kept.
        channels: 3 for RGB, 1 for gray.
        val_fraction: share of the images, or of those of train, that is drawn for validation, from each class alike.
        test_fraction: the same for test.
        split_seed: draws them.
        skip_unreadable: leave out damaged files instead of raising an error.
        white_value: what is white in files of more than 8 bits per pixel; None: 65535, of 16 bits.
        cache: False decodes each image every time it is used; the first start still tries every file.
        cache_dir: where the cache lies.
        backbone: name in timm of the network whose size, mean and std "auto" stands for; None: those of ImageNet.
        mean: of each channel, as a share of white.
        std: of each channel, in the same unit.
        images: augment, batch_size, num_workers and seed, as for ImageData.
    """

    def __init__(
        self,
        root: str | None,
        size: int | Literal["auto"] = "auto",
        channels: int = 3,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        skip_unreadable: bool = False,
        white_value: float | None = None,
        cache: bool = True,
        cache_dir: str = ".cache/image_folder",
        backbone: str | None = None,
        *,
        mean: Sequence[float] | Literal["auto"] = "auto",
        std: Sequence[float] | Literal["auto"] = "auto",
        **images: Any,
    ) -> None:
        usual = usual_for(backbone, channels)
        size = usual["size"] if size == "auto" else size
        statistics = {name: usual[name] if x == "auto" else x for name, x in (("mean", mean), ("std", std))}
        check_settings(root, size, channels, white_value, val_fraction, test_fraction)
        check_statistics(channels, self.white, **statistics)
        folder = Path(str(root)).expanduser()
        files, class_names = find_images(folder)
        labels = np.searchsorted(class_names, [file.class_name for file in files])  # the names are sorted
        given = np.array([file.split for file in files], dtype="U10")
        fractions = {k: f for k, f in (("val", val_fraction), ("test", test_fraction)) if k not in given}
        # Before all is decoded: it says what is wrong.
        splits = share_out(given, labels, class_names, fractions, split_seed)
        reading = {"size": size, "channels": channels, "white": white_value}
        store = ImageCache(Path(cache_dir).expanduser(), folder, files, keep_pixels=cache, **reading)
        if store.unreadable:
            tell_unreadable(store.unreadable, len(files), skip_unreadable)
            given[[file.path in store.unreadable for file in files]] = "unreadable"
            splits = share_out(given, labels, class_names, fractions, split_seed)
        say_missing(labels, class_names, splits)
        say_copies(files, store.facts[:, 1], splits)
        if white_value is None:
            say_dark(store.facts[:, 2])
        targets = torch.from_numpy(labels)
        if cache:
            dataset = CachedImages(store.pixels_path, store.shape, targets)
        else:
            dataset = DecodedImages(folder, [file.path for file in files], targets, store.read)
        self.reading = {"white_value": white_value}
        self.images, self.is_held, self.input_shape = dataset, cache, (channels, size, size)
        self.num_classes, self.class_names = len(class_names), tuple(class_names)
        super().__init__(
            {name: Subset(dataset, torch.from_numpy(places)) for name, places in splits.items()},  # type: ignore[arg-type]
            sha256=content_sha256(store.facts[:, 0], labels, class_names, splits),
            **statistics,
            **images,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Number the classes as for the model of a checkpoint, when the folder is another one."""
        known = state_dict["class_names"]
        if unknown := [repr(name) for name in self.class_names if name not in known]:
            raise ConfigError(f"data.root has classes that the model does not know: {some(unknown)}. It knows {known}")
        self.images.targets = torch.tensor([known.index(name) for name in self.class_names])[self.images.targets]
        self.class_names, self.num_classes = tuple(known), len(known)


class CachedImages(Dataset[tuple[Tensor, Tensor]]):
    """Images in a file of `shape` (N, H, W, C), uint8; a tensor of indices returns (B, C, H, W), channels_last.

    The file is mapped, so that only what is used is read; read-only, because a map that can be written must not be
    larger than the memory.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], targets: Tensor) -> None:
        self.path, self.targets = path, targets
        self.pixels = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedImages, (self.path, self.pixels.shape, self.targets)  # a process maps the file itself

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        # numpy copies a whole image at a time; torch would copy number by number, ten times slower
        images = torch.from_numpy(self.pixels[indices.numpy()])  # (B, H, W, C)
        return images.permute(0, 3, 1, 2), self.targets[indices]


class DecodedImages(Dataset[tuple[Tensor, Tensor]]):
    """The same images, decoded when they are asked for."""

    def __init__(self, root: Path, paths: Sequence[str], targets: Tensor, read: Callable[[Path], Picture]) -> None:
        # One array instead of many strings, which each process of a loader would come to copy.
        self.paths = np.array([path.encode(errors="surrogateescape") for path in paths])
        self.root, self.targets, self.read_image = root, targets, read

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(np.stack([self.read(path) for path in self.paths[indices.numpy()]]))  # (B, H, W, C)
        return images.permute(0, 3, 1, 2), self.targets[indices]

    def read(self, path: bytes) -> np.ndarray:
        name = path.decode(errors="surrogateescape")
        try:
            return self.read_image(self.root / name).pixels
        except (Unreadable, ConfigError) as error:
            raise RuntimeError(f"{name!r} has changed or gone since the start: {error}") from error


def usual_for(backbone: str | None, channels: int) -> Mapping[str, Any]:
    """Return what a network of timm was trained with, or else those of ImageNet; of gray images their averages."""
    usual = IMAGENET
    with suppress(ImportError, RuntimeError):  # without timm, or a tag it has not: the model says so
        from timm import get_pretrained_cfg

        if backbone and (cfg := get_pretrained_cfg(backbone)):
            usual = {"size": cfg.input_size[-1], "mean": cfg.mean, "std": cfg.std}
    gray = {name: [round(sum(usual[name]) / 3, 4)] for name in ("mean", "std")}
    return usual | gray if channels == 1 else usual


def check_settings(root: str | None, size: Any, channels: int, white_value: float | None, *fractions: float) -> None:
    """Raise ConfigError for the first value that cannot be right."""
    if not root:
        raise ConfigError(f"data.root must be the folder of your images, got {root!r}. {LAYOUT}")
    if not isinstance(size, int) or size < 1:
        raise ConfigError(f"data.size must be auto or at least 1 pixel, got {size}")
    if channels not in (1, 3):
        raise ConfigError(f"data.channels must be 3 (RGB) or 1 (gray), got {channels}")
    if white_value is not None and not white_value > 0:
        raise ConfigError(f"data.white_value must be above 0, or null for 65535, got {white_value}")
    if min(fractions) <= 0 or sum(fractions) >= 1:
        wanted = "data.val_fraction and data.test_fraction must be above 0 and together below 1"
        raise ConfigError(f"{wanted}, got {' and '.join(map(str, fractions))}")


def tell_unreadable(unreadable: Mapping[str, str], num_files: int, skip: bool) -> None:
    """Name the files that cannot be read; raise ConfigError if they are not to be skipped."""
    listed = some((f"{path!r}: {reason}" for path, reason in sorted(unreadable.items())), between="\n  ")
    found = f"{len(unreadable)} of {num_files} images cannot be read:\n  {listed}"
    if not skip:
        raise ConfigError(f"{found}\nRepair or remove them, or leave them out with data.skip_unreadable=true")
    say(f"{found}\nThey are left out (data.skip_unreadable)")


def say_dark(largest: np.ndarray) -> None:
    """Say which value may be white, when files of 16 bits use fewer."""
    if 0 < largest.max() < 2**15:
        white = 2 ** int(largest.max()).bit_length() - 1
        say(
            f"{np.count_nonzero(largest)} images have 16 bits per pixel and no value above {largest.max()}. "
            f"If white is {white}, set data.white_value={white}; if they are meant to be dark, 65535"
        )

"""Your own images: one folder per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from <<cookiecutter.package>>.data.images.image_cache import ImageCache
from <<cookiecutter.package>>.data.images.image_data import ImageData
from <<cookiecutter.package>>.data.images.read_image import Unreadable, read_image
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError

from .class_folders import LAYOUT, ImageFile, check_classes, find_images, folder_sha256, share_out, some


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
        cache: False decodes each image every time it is used; the first start still tries every file.
        cache_dir: where the cache lies.
        mean: of each channel, as a share of white.
        std: of each channel, in the same unit.
        images: augment, batch_size, num_workers and seed, as for ImageData.
    """

    def __init__(
        self,
        root: str | None,
        size: int = 224,
        channels: int = 3,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        skip_unreadable: bool = False,
        cache: bool = True,
        cache_dir: str = ".cache/image_folder",
        *,
        mean: Sequence[float],
        std: Sequence[float],
        **images: Any,
    ) -> None:
        check_settings(root, size, channels, mean=mean, std=std)
        folder = Path(str(root)).expanduser()
        files, class_names = find_images(folder)
        splits = share_out(files, class_names, val_fraction=val_fraction, test_fraction=test_fraction, seed=split_seed)
        store = ImageCache(Path(cache_dir).expanduser(), folder, files, size=size, channels=channels, keep_pixels=cache)
        splits = without_unreadable(files, splits, store.unreadable(), skip_unreadable)
        check_classes(files, class_names, splits)
        numbers = {name: number for number, name in enumerate(class_names)}
        targets = torch.tensor([numbers[file.class_name] for file in files])
        if cache:
            dataset = CachedImages(store.pixels_path, store.shape, targets)
        else:
            dataset = DecodedImages(folder, files, targets, size, channels)
        self.images, self.is_held = dataset, cache
        self.num_classes = len(class_names)
        self.class_names = tuple(class_names)
        self.input_shape = (channels, size, size)
        super().__init__(
            {name: Subset(dataset, torch.from_numpy(places)) for name, places in splits.items()},  # type: ignore[arg-type]
            sha256=folder_sha256(files, store.hashes(), splits),
            mean=mean,
            std=std,
            **images,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Number the classes as for the model of a checkpoint, when the folder is another one."""
        known = state_dict["class_names"]
        if unknown := [name for name in self.class_names if name not in known]:
            raise ConfigError(
                f"data.root has classes that the model does not know: {some(unknown)}. It knows {some(known)}"
            )
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

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        # numpy copies a whole image at a time; torch would copy number by number, ten times slower
        images = torch.from_numpy(self.pixels[indices.numpy()])  # (B, H, W, C)
        return images.permute(0, 3, 1, 2), self.targets[indices]


class DecodedImages(Dataset[tuple[Tensor, Tensor]]):
    """The same images, decoded when they are asked for."""

    def __init__(self, root: Path, files: Sequence[ImageFile], targets: Tensor, size: int, channels: int) -> None:
        # One array instead of many strings, which each process of a loader would come to copy.
        self.paths = np.array([file.path.encode(errors="surrogateescape") for file in files])
        self.root, self.targets, self.size, self.channels = root, targets, size, channels

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(np.stack([self.read(path) for path in self.paths[indices.numpy()]]))  # (B, H, W, C)
        return images.permute(0, 3, 1, 2), self.targets[indices]

    def read(self, path: bytes) -> np.ndarray:
        name = path.decode(errors="surrogateescape")
        try:
            return read_image(self.root / name, self.size, self.channels)
        except (Unreadable, ConfigError) as error:
            raise RuntimeError(f"{name!r} has changed or gone since the start: {error}") from error


def check_settings(root: str | None, size: int, channels: int, **statistics: Sequence[float]) -> None:
    """Raise ConfigError for the first value that cannot be right."""
    if not root:
        raise ConfigError(f"data.root must be the folder of your images, got {root!r}. {LAYOUT}")
    if size < 1:
        raise ConfigError(f"data.size must be at least 1 pixel, got {size}")
    if channels not in (1, 3):
        raise ConfigError(f"data.channels must be 3 (RGB) or 1 (gray), got {channels}")
    for name, numbers in statistics.items():
        if not isinstance(numbers, Sequence) or len(numbers) != channels:
            gray = " (gray images of ImageNet: data.mean=[0.449] data.std=[0.226])" if channels == 1 else ""
            raise ConfigError(f"data.{name} must have data.channels={channels} numbers{gray}, got {numbers}")


def without_unreadable(
    files: Sequence[ImageFile], splits: dict[str, np.ndarray], unreadable: dict[str, str], skip: bool
) -> dict[str, np.ndarray]:
    """Return the splits without the files that cannot be read; raise ConfigError if they are not to be skipped."""
    if not unreadable:
        return splits
    listed = "".join(f"\n  {path!r}: {reason}" for path, reason in list(unreadable.items())[:10])
    listed += f"\n  and {len(unreadable) - 10} more" if len(unreadable) > 10 else ""
    found = f"{len(unreadable)} of {len(files)} images cannot be read:{listed}"
    if not skip:
        raise ConfigError(f"{found}\nRepair or remove them, or leave them out with data.skip_unreadable=true")
    say(f"{found}\nThey are left out (data.skip_unreadable)")
    bad = np.array([file.path in unreadable for file in files])
    return {name: places[~bad[places]] for name, places in splits.items()}

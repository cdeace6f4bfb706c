"""A small folder of images of the kinds that people have."""

from pathlib import Path
from typing import Any

import numpy as np
from my_project.data.images.image_folder import ImageFolder
from PIL import Image

CLASSES = ("cat", "dog", "hen")
EXTENSIONS = (".jpg", ".png", ".JPEG", ".webp")


def write(name: str, folder: Path) -> list[str]:
    """Write 30 images of each of 3 classes and return the overrides that have `data=image_folder` read them."""
    random = np.random.default_rng(0)
    for number, class_name in enumerate(CLASSES):
        (folder / "images" / class_name).mkdir(parents=True)
        for i in range(30):
            pixels = random.integers(0, 100, (40, 30 + i, 3), dtype=np.uint8)
            pixels[..., number] += 100  # red, green or blue
            path = folder / "images" / class_name / f"{i}{EXTENSIONS[i % len(EXTENSIONS)]}"
            Image.fromarray(pixels).save(path)
    return [
        f"data={name}",
        f"data.root='{folder / 'images'}'",
        f"data.cache_dir='{folder / 'cache'}'",
        "data.size=16",
        "data.batch_size=16",
    ]


def save(path: Path, image: Image.Image | None = None, **options: Any) -> Path:
    """Write an image, a red one unless given, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (9, 9), "red")).save(path, **options)
    return path


def make(root: Path, *names: str) -> Path:
    """Write a small image, each with pixels of its own, at every path; `cat/*5` stands for five of them."""
    root.mkdir(exist_ok=True)
    number = 0
    for name in names:
        folder, _, count = name.partition("*")
        for i in range(int(count or 0)):
            number += 1
            save(root / folder / f"{i}.png", Image.new("RGB", (9, 9), (number, 2 * number % 256, i)))
        if not count:
            (root / folder).mkdir(parents=True)
    return root


def build(root: Path, **options: Any) -> ImageFolder:
    """Read a folder as images of 8x8 pixels, with the cache beside it."""
    half = [0.5] * options.get("channels", 3)
    settings: dict[str, Any] = {"size": 8, "batch_size": 4, "cache_dir": str(root.parent / "cache")}
    return ImageFolder(root=str(root), mean=half, std=half, **(settings | options))

"""A small folder of images: what data=image_folder needs to be tried."""

from pathlib import Path

import numpy as np
import pytest

CHOICES = ("data=image_folder",)


def write(choice: str, folder: Path) -> list[str]:
    """Write 30 images of each of 3 classes and return the overrides that have them read."""
    pillow = pytest.importorskip("PIL.Image", reason=f"{choice} needs the package pillow")
    random = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog", "hen")):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(30):
            pixels = random.integers(0, 100, (40, 30 + i, 3), dtype=np.uint8)
            pixels[..., number] += 100  # red, green or blue
            pillow.fromarray(pixels).save(folder / "images" / name / f"{i}.png")
    paths = [f"data.root='{folder / 'images'}'", f"data.cache_dir='{folder / 'cache'}'"]
    return [choice, *paths, "data.size=16", "data.batch_size=16"]

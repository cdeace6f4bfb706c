"""Image files as inputs of a model."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from <<cookiecutter.package>>.data.images.normalize import Normalize
from <<cookiecutter.package>>.data.images.read_image import Unreadable, is_image, read_image
from <<cookiecutter.package>>.data.inputs import InputBatch, Inputs
from <<cookiecutter.package>>.engine.errors import ConfigError


class ImageInputs(Inputs):
    """Image files, read as data=image_folder reads them, at the size and with the channels of training.

    Args:
        input_shape: (C, H, W) of training, H = W.
        mean: of each channel, as a share of white.
        std: of each channel, in the same unit.
        white: of the images of training; a file is brought from 256 to as many levels.
        white_value: what is white in files of more than 8 bits per pixel; None: 65535.
    """

    names = ("images",)

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        white: int = 255,
        white_value: float | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.size, width = input_shape
        if width != self.size or self.channels not in (1, 3):
            raise ConfigError(f"image files are read as squares, gray or RGB; this model takes {tuple(input_shape)}")
        self.white, self.white_value = white, white_value
        self.normalize = Normalize(input_shape, mean=mean, std=std, white=white)

    def batches(self, source: str | Sequence[str], batch_size: int) -> Iterator[InputBatch]:
        paths = np.array(find_images(source), dtype=object)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            for part in np.array_split(paths, -(-len(paths) // batch_size)) if len(paths) else ():
                yield self.batch(part, [*pool.map(self.read, part)], total=len(paths))

    def read(self, path: str) -> np.ndarray | str:
        """Return the pixels (H, W, C), uint8, of a file, or why it cannot be read."""
        try:
            return read_image(Path(path), self.size, self.channels, self.white_value).pixels
        except Unreadable as error:
            return str(error)

    def batch(self, paths: np.ndarray, found: list[np.ndarray | str], total: int) -> InputBatch:
        """Return images (B, C, H, W), uint8, black where a file cannot be read, whose memory is channels_last."""
        errors = {place: picture for place, picture in enumerate(found) if isinstance(picture, str)}
        black = np.zeros((self.size, self.size, self.channels), dtype=np.uint8)
        pixels = np.stack([black if isinstance(picture, str) else picture for picture in found])
        return InputBatch(paths, (torch.from_numpy(pixels).permute(0, 3, 1, 2),), errors, total)

    def prepare(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return self(*tensors)

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, C, H, W), uint8 from 0 to 255, to what the model was trained on."""
        images = raw[0] if self.white == 255 else (raw[0] * (self.white / 255)).round()
        return (self.normalize(images),)

    def described(self) -> dict[str, Any]:
        shape = ["batch", self.channels, self.size, self.size]
        how = "upright, on white, the shorter side scaled to this size (bicubic), the middle of the longer one kept"
        return {"images": {"dtype": "uint8", "shape": shape, "how": how}}

    def example(self) -> str:
        size, mode = self.size, "L" if self.channels == 1 else "RGB"
        return f"""from PIL import Image, ImageOps

image = Image.open("image.png").convert("{mode}")
image = ImageOps.fit(image, ({size}, {size}), Image.Resampling.BICUBIC)
inputs = {{"images": np.array(image).reshape(1, {size}, {size}, {self.channels}).transpose(0, 3, 1, 2)}}"""


def find_images(source: str | Sequence[str]) -> list[str]:
    """Return the files that are meant, sorted where they are found: one, a folder, a glob, a list, a .txt of paths.

    In a folder, and those within it, names that begin with a dot and files that are no images are left out.
    """
    if not isinstance(source, str):
        return list(source)
    path = Path(source)
    if path.is_dir():
        files = (file for file in path.rglob("*") if not any(p[0] == "." for p in file.relative_to(path).parts))
        return sorted(str(file) for file in files if not file.is_dir() and is_image(str(file)))
    if path.suffix == ".txt":
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    return [source] if path.exists() else sorted(file for file in glob(source, recursive=True) if os.path.isfile(file))

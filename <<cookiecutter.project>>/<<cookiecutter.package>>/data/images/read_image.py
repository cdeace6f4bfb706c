"""Read one image file as the picture that a person sees in it: turned upright, on white, in 8 bits."""

import errno
import os
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np

from <<cookiecutter.package>>.engine.errors import ConfigError

try:
    from PIL import Image, ImageOps
except ImportError as error:
    raise ConfigError('images need Pillow: uv sync --extra images, or pip install -e ".[images]"') from error

VERSION = 2  # of what is read from the same file: another number has it decoded again
OVERLOADED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # the process, which says nothing about the file

Image.init()  # else threads that load the formats at once take a good file for an unknown one
STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow recognizes them, and cannot decode them
EXTENSIONS = {end for end, name in Image.registered_extensions().items() if name in Image.OPEN.keys() - STUBS}


class Unreadable(ValueError):
    """The file cannot be opened, is no image, or only the beginning of one; the message says why."""


class Picture(NamedTuple):
    """What a file holds."""

    pixels: np.ndarray  # (size, size, channels), uint8, RGB or gray
    largest: int  # value in the file, where they have more than 8 bits; else 0


def is_image(path: str) -> bool:
    """Say whether a file is one to read, by its extension, or where that is of no image, by its content."""
    if os.path.splitext(path)[1].lower() in EXTENSIONS:
        return True
    try:
        with open_file(path) as file, Image.open(file) as image:
            return image.format not in STUBS
    except Exception:  # noqa: BLE001  (Pillow raises any kind for what only begins as an image)
        return False


def open_file(path: str | Path) -> BufferedReader:
    """Open a file to read it; a pipe would wait for what is written to it."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise Unreadable("a pipe or a device, not a file")
    return open(path, "rb")


def read_image(path: Path, size: int, channels: int, white: float | None = None) -> Picture:
    """Read an image; of a GIF or another file of several pages the first one.

    The shorter side is scaled to `size`, with antialiasing, and the middle of the longer one is kept.

    Args:
        path: of the file.
        size: height and width in pixels.
        channels: 3 for RGB, 1 for gray.
        white: value of white where a pixel has more than 8 bits, as all above it; None: 65535, of 16 bits.

    Raises:
        Unreadable: the file cannot be opened, is empty, damaged, far too large or of an unknown kind.
        ConfigError: no memory, or too many open files, which says nothing about the image.
    """
    try:
        with open_file(path) as file, Image.open(file) as image:
            # A JPEG many times larger is decoded at a half, a quarter or an eighth.
            image.draft(None, (2 * size, 2 * size))
            is_deep = image.mode[0] in "IF" or ";16" in str(image.tile[:1])  # before the pixels are loaded
            upright, largest = ImageOps.exif_transpose(image), 0
            if is_deep:
                upright, largest = eight_bits(upright, white)
            square = ImageOps.fit(on_white(upright), (size, size), Image.Resampling.BICUBIC)
            pixels = np.asarray(square.convert("RGB" if channels == 3 else "L")).reshape(size, size, channels)
            return Picture(pixels, largest)
    except Exception as error:  # Pillow raises any kind for a damaged file
        if isinstance(error, OSError) and error.errno in OVERLOADED:
            raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}") from error
        raise Unreadable(reason(path, error)) from error


def eight_bits(image: Image.Image, white: float | None) -> tuple[Image.Image, int]:
    """Scale an image of more than 8 bits, which Pillow's own conversion would clip, and return its largest value."""
    # Of 16 bits in color Pillow keeps the upper 8.
    values = np.asarray(image) * 1.0 if image.mode[0] in "IF" else np.asarray(image.convert("RGB")) * 257.0
    if not values.min() >= 0 or (white is None and (image.mode == "F" or values.max() > 65535)):
        raise Unreadable("values are negative, fractions or above 65535: what is white must be known, data.white_value")
    scaled = Image.fromarray((values * (255 / (white or 65535))).round().clip(max=255).astype(np.uint8))
    if "A" in image.getbands():
        scaled.putalpha(image.getchannel("A"))
    return scaled, int(values.max())


def on_white(image: Image.Image) -> Image.Image:
    """Return the image as RGB, its transparent parts on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def reason(path: Path, error: Exception) -> str:
    """Say in a few words what is wrong with a file."""
    if path.is_file() and path.stat().st_size == 0:
        return "empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

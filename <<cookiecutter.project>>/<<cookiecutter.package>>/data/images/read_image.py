"""Read one image file as the picture that a person sees in it: turned upright, on white, in 8 bits."""

from pathlib import Path

import numpy as np

from <<cookiecutter.package>>.engine.errors import ConfigError

try:
    from PIL import Image, ImageOps
except ImportError as error:
    raise ConfigError('images need Pillow: uv sync --extra images, or pip install -e ".[images]"') from error

EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
VERSION = 2  # of what is read from the same file: another number has it decoded again

Image.init()  # else threads that load the formats at once take a good file for an unknown one


class Unreadable(ValueError):
    """The file is no image, or only the beginning of one; the message says why."""


def read_image(path: Path, size: int, channels: int) -> np.ndarray:
    """Return an image (size, size, channels), uint8, RGB or gray.

    Of a GIF or another file of several pages the first one is read. The shorter side is scaled to `size`, with
    antialiasing, and the middle of the longer one is kept.

    Raises:
        Unreadable: the file is missing, empty, damaged, far too large or of an unknown kind.
        ConfigError: the disk or the permissions fail, which says nothing about the image.
    """
    try:
        with Image.open(path) as image:
            # A JPEG many times larger is decoded at a half, a quarter or an eighth.
            image.draft(None, (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(image)
            square = ImageOps.fit(on_white(eight_bits(upright)), (size, size), Image.Resampling.BICUBIC)
            return np.asarray(square.convert("RGB" if channels == 3 else "L")).reshape(size, size, channels)
    except Exception as error:  # Pillow raises any kind for a damaged file
        if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
            raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}") from error
        raise Unreadable(reason(path, error)) from error


def eight_bits(image: Image.Image) -> Image.Image:
    """Scale an image of 16 bits per pixel, which Pillow's own conversion would clip at 255."""
    if not image.mode.startswith("I"):
        if image.mode == "F":
            raise Unreadable("pixels are floating-point numbers, whose white is unknown")
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable("pixels have 32 bits, whose white is unknown")
    return Image.fromarray((values / 257).round().astype(np.uint8))


def on_white(image: Image.Image) -> Image.Image:
    """Return the image as RGB, its transparent parts on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def reason(path: Path, error: Exception) -> str:
    """Say in a few words what is wrong with a file."""
    if isinstance(error, FileNotFoundError):
        return "link to a file that does not exist"
    if path.stat().st_size == 0:
        return "empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    return str(error) or type(error).__name__

"""What a person sees in an image file is what is read from it."""

import errno
import os
import struct
import sys
import zlib

import numpy as np
import pytest

pytest.importorskip("PIL")

from my_project.data.images import read_image as module
from my_project.data.images.read_image import Unreadable, is_image
from my_project.engine.errors import ConfigError
from PIL import Image

from .image_folders import save

RED, GREEN, BLUE, GRAY, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [128] * 3, [255] * 3

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links of POSIX")


def read_image(*arguments):
    return module.read_image(*arguments).pixels


def halves(mode="RGB", first=RED, second=BLUE):
    """An image of 20x10 pixels, whose left half has another colour than the right one."""
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :10], pixels[:, 10:] = first, second
    return Image.fromarray(pixels).convert(mode)


def middle(path, channels=3):
    return read_image(path, 4, channels)[2, 2].tolist()


@pytest.mark.parametrize(
    "name",
    [
        "jpg",
        "jfif",
        "png",
        "bmp",
        "gif",
        "webp",
        "tiff",
        "ppm",
        "mpo",
        "ico",
        "tga",
        "pcx",
        "jp2",
        "dds",
        "avif",
        "icns",
    ],
)
def test_red_is_red_in_every_kind_of_file(tmp_path, name):
    if f".{name}" not in Image.registered_extensions():
        pytest.skip(f"this Pillow has no {name}")
    assert np.allclose(middle(save(tmp_path / f"a.{name}", Image.new("RGB", (32, 32), "red"))), RED, atol=3)
    unnamed = (tmp_path / f"a.{name}").rename(tmp_path / "a.bin")
    assert is_image(str(unnamed))
    assert np.allclose(middle(unnamed), RED, atol=3)


def test_what_is_no_image_is_not_taken_for_one(tmp_path):
    contents = {
        "a.txt": b"0 0.5 0.5",
        "a.xml": b"<x/>",
        "a.h5": b"\x89HDF\r\n\x1a\n" + bytes(99),
        "a": b"",
        "a.mpg": b"\x00\x00\x01\xb3",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.bin").symlink_to("link.bin")
    assert [path.name for path in tmp_path.iterdir() if is_image(str(path))] == []


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "YCbCr"])
def test_red_is_red_in_every_mode_of_colour(tmp_path, mode):
    path = save(tmp_path / ("a.png" if mode in ("P", "RGBA") else "a.jpg"), halves(mode, first=RED, second=RED))
    assert np.allclose(middle(path), RED, atol=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_white_is_white_in_every_mode_of_gray(tmp_path, mode):
    path = save(tmp_path / "a.png", halves(mode, first=WHITE, second=WHITE))
    assert middle(path) == WHITE
    assert middle(path, channels=1) == [255]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_an_image_of_16_bits_is_scaled_and_not_clipped(tmp_path, name):
    path = save(tmp_path / name, Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)))
    assert middle(path) == GRAY


def deep(mode, top):
    """An image of 16 bits or more whose right half is `top`."""
    return Image.fromarray(np.repeat([[0, top]], 4, axis=1).repeat(8, axis=0).astype(mode))


@pytest.mark.parametrize(
    ("mode", "name"), [(np.uint16, "a.png"), (np.uint16, "a.tif"), (np.int32, "a.tif"), (np.float32, "a.tif")]
)
def test_the_white_of_more_than_8_bits_can_be_given(tmp_path, mode, name):
    path = save(tmp_path / name, deep(mode, 4095))
    picture = module.read_image(path, 8, 1, 4095)
    assert picture.largest == 4095
    assert picture.pixels[:, [0, -1], 0].tolist() == [[0, 255]] * 8
    assert module.read_image(path, 8, 1, 1000).pixels.max() == 255  # and all above it


def test_16_bits_in_color_use_their_upper_8(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = (b"\0" + struct.pack(">3H", 4095, 0, 0) * 8) * 8
    header = struct.pack(">2I5B", 8, 8, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert module.read_image(tmp_path / "a.png", 8, 3).largest == 15 * 257
    assert module.read_image(tmp_path / "a.png", 8, 3, 15 * 257).pixels[0, 0].tolist() == RED


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path, mode):
    options = {"transparency": 0} if mode == "P" else {}
    path = save(tmp_path / "a.png", Image.new(mode, (8, 8), 0), **options)
    assert middle(path) == WHITE


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = read_image(save(tmp_path / "a.png", halves(), exif=exif), 10, 3)
    assert turned[5, 0].tolist() == BLUE
    assert turned[5, 9].tolist() == RED


def test_the_first_frame_of_a_film_is_read(tmp_path):
    frames = [Image.new("RGB", (8, 8), tuple(colour)) for colour in (GREEN, RED)]
    assert middle(save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])) == GREEN


def test_the_middle_of_the_longer_side_is_kept(tmp_path):
    square = read_image(save(tmp_path / "a.png", halves()), 10, 3)
    assert square.shape == (10, 10, 3)
    assert square.dtype == np.uint8
    assert square[:, :5].tolist() == [[RED] * 5] * 10
    assert square[:, 5:].tolist() == [[BLUE] * 5] * 10


def test_a_fine_pattern_becomes_its_mean(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.allclose(read_image(save(tmp_path / "a.png", Image.fromarray(stripes)), 8, 3), 127, atol=8)


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("no image")


def half(path):
    content = save(path, Image.effect_noise((99, 99), 50)).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def bomb(path):
    path.write_bytes(b"P4 30000 30000\n")


def floating(path):
    Image.fromarray(np.ones((8, 8), np.float32)).save(path, format="TIFF")


def broken_link(path):
    path.symlink_to("nowhere.png")


def loop(path):
    path.symlink_to(path.name)


def pipe(path):
    os.mkfifo(path)


DAMAGES = {
    empty: "empty file",
    text: "not an image",
    half: "truncated",
    bomb: "decompression bomb",
    floating: "values are negative, fractions or above 65535",
    loop: "symbolic links",
    pipe: "a pipe or a device",
    broken_link: "No such file",
}


@posix
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_and_the_reason_given(tmp_path, damage):
    damage(tmp_path / "a.png")
    with pytest.raises(Unreadable, match=DAMAGES[damage]):
        read_image(tmp_path / "a.png", 8, 3)


@pytest.mark.parametrize(("number", "error"), [("EACCES", Unreadable), ("EIO", Unreadable), ("EMFILE", ConfigError)])
def test_what_the_system_refuses_is_unreadable_unless_it_says_nothing_of_the_file(tmp_path, monkeypatch, number, error):
    def refuse(path):
        code = getattr(errno, number)
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(module, "open_file", refuse)
    with pytest.raises(error, match=os.strerror(getattr(errno, number))):
        read_image(save(tmp_path / "a.png"), 8, 3)

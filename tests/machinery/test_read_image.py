"""What a person sees in an image file is what is read from it."""

import sys

import numpy as np
import pytest

pytest.importorskip("PIL")

from my_project.data.images.read_image import Unreadable, read_image
from PIL import Image

from .image_folders import save

RED, GREEN, BLUE, GRAY, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [128] * 3, [255] * 3

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links of POSIX")


def halves(mode="RGB", first=RED, second=BLUE):
    """An image of 20x10 pixels, whose left half has another colour than the right one."""
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :10], pixels[:, 10:] = first, second
    return Image.fromarray(pixels).convert(mode)


def middle(path, channels=3):
    return read_image(path, 4, channels)[2, 2].tolist()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.gif", "a.webp", "a.tiff", "a.ppm"])
def test_red_is_red_in_every_kind_of_file(tmp_path, name):
    assert np.allclose(middle(save(tmp_path / name)), RED, atol=3)


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


DAMAGES = {
    empty: "empty file",
    text: "not an image",
    half: "truncated",
    bomb: "decompression bomb",
    floating: "floating-point",
    broken_link: "does not exist",
}


@posix
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_and_the_reason_given(tmp_path, damage):
    damage(tmp_path / "a.png")
    with pytest.raises(Unreadable, match=DAMAGES[damage]):
        read_image(tmp_path / "a.png", 8, 3)

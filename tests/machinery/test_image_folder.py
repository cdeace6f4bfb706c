"""Folders of images: what is found in them, how it is shared out, and what is refused."""

import itertools
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("PIL")


from my_project.data.images.class_folders import find_images, folder_sha256
from my_project.data.images.image_folder import ImageFolder
from my_project.data.images.read_image import read_image
from my_project.engine.errors import ConfigError

from .image_folders import build, make, save

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links of POSIX")


def found(root):
    files, class_names = find_images(root)
    return [file.path for file in files], class_names


@posix
def test_images_are_found_by_their_extension_below_the_folder_of_a_class(tmp_path):
    for name in ("b/1.JPG", "b/deep/er/2.png", "ä ö/line\nbreak.jpeg", "b/.hidden.jpg", "b/.cache/3.jpg", ".git/4.jpg"):
        save(tmp_path / "root" / name, format="PNG")
    for name in ("b/Thumbs.db", "b/.DS_Store", "b/notes.txt", "readme.md", "ä ö/no_extension"):
        (tmp_path / "root" / name).write_text("")
    save(tmp_path / "elsewhere" / "5.bmp")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b" / "loop").symlink_to(tmp_path / "root")
    paths = ["b/1.JPG", "b/deep/er/2.png", "b/link/5.bmp", "link/5.bmp", "ä ö/line\nbreak.jpeg"]
    assert found(tmp_path / "root") == (paths, ["b", "link", "ä ö"])


@pytest.fixture
def root(tmp_path):
    return make(tmp_path / "root", "cat/*20", "dog/*10")


def places(data):
    return {name: dataset.indices.tolist() for name, dataset in data.splits.items()}


def test_each_class_is_shared_out_in_proportion(root):
    data = build(root, val_fraction=0.2, test_fraction=0.3)
    counts = {name: dataset[:][1].bincount().tolist() for name, dataset in data.splits.items()}
    assert counts == {"train": [10, 5], "val": [4, 2], "test": [6, 3]}
    assert sorted(itertools.chain(*places(data).values())) == list(range(30))
    assert data.class_names == ("cat", "dog")
    assert data.num_classes == 2
    assert data.input_shape == (3, 8, 8)


def test_split_seed_alone_draws_the_split_and_split_sha256_names_it(root):
    assert places(build(root, seed=1)) == places(build(root))
    assert build(root, seed=1, size=9).split_sha256 == build(root).split_sha256
    assert places(build(root, split_seed=1)) != places(build(root))
    assert build(root, split_seed=1).split_sha256 != build(root).split_sha256
    before = build(root).split_sha256
    (root / "cat" / "0.png").rename(root / "cat" / "00.png")  # in the same place of their order
    moved = root.rename(root.with_name("moved"))
    (moved / "dog" / "1.png").touch()
    assert build(moved).split_sha256 == build(moved, cache=False).split_sha256 == before
    (moved / "dog" / "1.png").rename(moved / "cat" / "a.png")
    assert build(moved).split_sha256 != before
    files, _ = find_images(moved)
    first, second = np.split(np.arange(3), [1]), np.split(np.arange(3), [2])  # the same files, divided elsewhere
    hashes = ["a", "b", "c"]
    assert len({folder_sha256(files, hashes, {"train": train, "val": val}) for train, val in (first, second)}) == 2


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (["train/a/*10", "train/b/*10", "val/a/*2", "val/b/*3", "test/a/*1", "test/b/*1"], (20, 5, 2)),
        (["train/a/*10", "train/b/*10", "test/a/*1", "test/b/*1"], (16, 4, 2)),
        (["train/a/*10", "train/b/*10", "val/a/*2", "val/b/*3"], (16, 5, 4)),
        (["train/a/*10", "train/b/*10"], (12, 4, 4)),
        (["train/*10", "tram/*10", "val/*10"], (18, 6, 6)),  # a class called train
    ],
)
def test_splits_are_those_of_the_folders_and_the_rest_is_drawn_from_train(tmp_path, given, sizes):
    data = build(make(tmp_path / "root", *given), val_fraction=0.2, test_fraction=0.2)
    assert tuple(len(data.splits[name].indices) for name in ("train", "val", "test")) == sizes
    files, _ = find_images(tmp_path / "root")
    for name, dataset in data.splits.items():
        assert {files[place].split for place in dataset.indices} <= {name, "train", ""}


def test_a_class_that_evaluation_lacks_is_named(tmp_path, capsys):
    build(make(tmp_path / "root", "train/a/*9", "train/b/*9", "val/a/*1", "val/b/*1", "test/a/*1"))
    assert "test has no images of class 'b'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "has no folders"),
        (["a/", "b/"], "has no images"),
        (["a/*9"], "only one class, 'a'"),
        (["a/*9", "b/"], "class 'b' has 0 images"),
        (["a/*9", "b/*2"], "class 'b' has 2 images .* at least 3"),
        (["train/*9", "test/*9"], "test' has no images"),
        (["val/a/*9", "test/a/*9"], "there is no train"),
        (["train/a/*9", "train/b/*9", "valid/a/*9"], "beside train there is 'valid'"),
        (["train/a/*9", "train/b/*9", "test/"], "test' has no images"),
        (["train/a/*9", "train/b/*9", "test/a/*9", "test/c/*9"], "class 'c' has 0 images to train on"),
    ],
)
def test_a_folder_laid_out_otherwise_is_refused(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        build(make(tmp_path / "root", *given))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": None}, "data.root must be the folder of your images, got None"),
        ({"root": "/no/where"}, "'/no/where' cannot be read: No such file"),
        ({"root": __file__}, "cannot be read: Not a directory"),
        ({"size": 0}, "data.size must be at least 1 pixel, got 0"),
        ({"size": 10**6}, r"take 90\d*\.0 GB .* are free"),
        ({"channels": 2}, "data.channels must be 3"),
        ({"channels": 1, "mean": [0.5] * 3}, r"data.mean must have data.channels=1 numbers .*0\.449"),
        ({"val_fraction": 0.6, "test_fraction": 0.4}, "together below 1, got 0.6 and 0.4"),
        ({"val_fraction": 0}, "must be above 0"),
        ({"split_seed": -1}, "data.split_seed must be at least 0"),
        ({"cache_dir": "/dev/null/x"}, "cannot be locked: Not a directory"),
    ],
)
@posix
def test_a_wrong_value_is_named(root, options, message):
    settings = {"root": str(root), "mean": [0.5] * 3, "std": [0.5] * 3, "batch_size": 4}
    with pytest.raises(ConfigError, match=message):
        ImageFolder(**(settings | {"cache_dir": str(root.parent / "cache")} | options))


def test_a_batch_holds_the_images_of_its_files_in_the_layout_that_convolutions_like(root):
    for options in ({}, {"channels": 1}, {"cache": False}):
        dataset = build(root, **options).splits["train"]
        images, labels = dataset[torch.tensor([7, 3])]
        assert images.is_contiguous(memory_format=torch.channels_last)
        files, _ = find_images(root)
        for image, label, place in zip(images, labels, dataset.indices[[7, 3]], strict=True):
            expected = read_image(root / files[place].path, 8, options.get("channels", 3))
            assert np.array_equal(image.permute(1, 2, 0), expected)
            assert ("cat", "dog")[label] == files[place].class_name

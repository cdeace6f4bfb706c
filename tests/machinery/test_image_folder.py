"""Folders of images: what is found in them, how it is shared out, and what is refused."""

import io
import itertools
import os
import shutil
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("PIL")


from my_project.data.images.class_folders import content_sha256, find_images
from my_project.data.images.image_folder import ImageFolder
from my_project.data.images.read_image import read_image
from my_project.engine.errors import ConfigError
from PIL import Image

from .image_folders import build, make, save

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links of POSIX")


def found(root):
    files, class_names = find_images(root)
    return [file.path for file in files], class_names


@posix
def test_images_are_found_below_the_folder_of_a_class_and_the_rest_is_counted(tmp_path, capsys):
    for name in ("b/1.JPG", "b/deep/er/2.png", "ä ö/line\nbreak.jpeg", "b/.hidden.jpg", "b/.cache/3.jpg", ".git/4.jpg"):
        save(tmp_path / "root" / name, format="PNG")
    for name in (
        "b/@eaDir/1.JPG/THUMB.jpg",
        "#recycle/6.jpg",
        "__MACOSX/b/._1.jpg",
        "$RECYCLE.BIN/7.jpg",
        "b/1.JPG~",
        "8.jpg",
    ):
        save(tmp_path / "root" / name, format="PNG")
    for name in ("b/Thumbs.db", "b/.DS_Store", "b/notes.txt", "readme.md", "ä ö/no_extension"):
        (tmp_path / "root" / name).write_text("")
    save(tmp_path / "elsewhere" / "5.bmp")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b" / "loop").symlink_to(tmp_path / "root")
    paths = ["b/1.JPG", "b/deep/er/2.png", "b/link/5.bmp", "link/5.bmp", "ä ö/line\nbreak.jpeg"]
    assert found(tmp_path / "root") == (paths, ["b", "link", "ä ö"])
    said = capsys.readouterr().out
    for what in ("1 .db", "1 .txt", "1 without an ending", "1 .jpg~", "1 .jpg in no folder of a class"):
        assert what in said
    for name in ("@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN"):
        assert f"1 folder {name!r}" in said
    assert ".git" not in said


@posix
def test_links_that_lead_to_each_other_are_followed_once(tmp_path):
    for name in ("a/1.png", "b/2.png"):
        save(tmp_path / name)
    (tmp_path / "a" / "other").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    (tmp_path / "itself").symlink_to("itself")
    assert found(tmp_path) == (["a/1.png", "a/other/2.png", "b/2.png", "b/other/1.png"], ["a", "b"])


def test_a_folder_of_nothing_but_images_is_read_without_a_word(tmp_path, capsys):
    build(make(tmp_path / "root", "cat/*20", "dog/*10"))
    assert len(capsys.readouterr().out.splitlines()) == 1  # decodes once


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
    first, second = np.split(np.arange(3), [1]), np.split(np.arange(3), [2])  # the same files, divided elsewhere
    hashes, labels = np.arange(3, dtype=np.uint64), np.zeros(3, dtype=np.int64)
    splits = [{"train": train, "val": val} for train, val in (first, second)]
    assert len({content_sha256(hashes, labels, ["a", "b"], split) for split in splits}) == 2


def test_split_sha256_is_of_the_content_wherever_it_lies(root):
    before = build(root).split_sha256
    moved = root.rename(root.parent / "moved")
    for path in moved.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    (moved / "cat" / "0.png").rename(moved / "cat" / "00.png")
    assert build(moved).split_sha256 == before
    save(moved / "cat" / "00.png")
    assert build(moved).split_sha256 != before


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (["train/a/*10", "train/b/*10", "val/a/*2", "val/b/*3", "test/a/*1", "test/b/*1"], (20, 5, 2)),
        (["train/a/*10", "train/b/*10", "test/a/*1", "test/b/*1"], (16, 4, 2)),
        (["train/a/*10", "train/b/*10", "val/a/*2", "val/b/*3"], (16, 5, 4)),
        (["train/a/*10", "train/b/*10"], (12, 4, 4)),
        (["train/*10", "tram/*10", "val/*10"], (18, 6, 6)),  # a class called train
        (["TRAINING/a/*10", "TRAINING/b/*10", "dev/a/*2", "dev/b/*3", "Test Set/a/*1", "Test Set/b/*1"], (20, 5, 2)),
        (["train2017/a/*10", "train2017/b/*10", "valImages/a/*2", "valImages/b/*3"], (16, 5, 4)),
        (["my_train_v2/a/*10", "my_train_v2/b/*10", "my_testing_v2/a/*1", "my_testing_v2/b/*1"], (16, 4, 2)),
        (["valid/*10", "invalid/*10", "testudo/old/*10"], (18, 6, 6)),  # classes
    ],
)
def test_splits_are_those_of_the_folders_and_the_rest_is_drawn_from_train(tmp_path, given, sizes):
    data = build(make(tmp_path / "root", *given), val_fraction=0.2, test_fraction=0.2)
    assert tuple(len(data.splits[name].indices) for name in ("train", "val", "test")) == sizes
    files, _ = find_images(tmp_path / "root")
    for name, dataset in data.splits.items():
        assert {files[place].split for place in dataset.indices} <= {name, "train", ""}


def test_folders_that_are_taken_for_splits_or_could_be_are_said(tmp_path, capsys):
    build(make(tmp_path / "one", "Training/a/*9", "Training/b/*9", "TESTING/a/*1", "TESTING/b/*1"))
    assert "reads 'TESTING' as test, 'Training' as train" in capsys.readouterr().out
    build(make(tmp_path / "other", "a/*9", "b/*9", "test/*9"))
    assert "'test' is read as a class" in capsys.readouterr().out


@posix
def test_class_names_are_one_in_each_unicode_form_and_those_that_differ_little_are_said(tmp_path, capsys):
    one, other = "caf\u00e9", "cafe\u0301"
    given = [f"train/{one}/*9", "train/b/*9", f"test/{other}/*1", "test/b/*1", f"test/{one}/*2"]
    data = build(make(tmp_path / "root", *given))
    assert data.class_names == ("b", one)
    assert len(data.splits["test"].indices) == 4
    assert (
        "'cafe\\u0301', 'caf\\xe9' differ only in case, space or Unicode form, and are one class"
        in capsys.readouterr().out
    )
    build(make(tmp_path / "names", "Cat/*9", "cat/*9", "hot dog/*9", "hot_dog /*9"))
    said = capsys.readouterr().out
    assert "'Cat', 'cat' differ only" in said
    assert "'hot dog', 'hot_dog ' differ only in case, space or Unicode form, and are several classes" in said


def test_copies_are_named_those_in_another_split_first(tmp_path, capsys):
    root = make(tmp_path / "root", "train/a/*9", "train/b/*9", "test/a/*2", "test/b/*2")
    shutil.copy(root / "train/a/0.png", root / "train/b/copy.png")
    shutil.copy(root / "train/a/0.png", root / "test/a/copy.png")
    Image.open(root / "train/a/1.png").save(root / "test/a/again.bmp")  # the same picture in another file
    build(root)
    said = capsys.readouterr().out
    assert "3 images are copies of others, 2 of those in another split" in said
    first, second, third = (line for line in said.splitlines() if " = " in line)
    assert {first.strip(), second.strip()} == {
        "'test/a/copy.png' = 'train/a/0.png'",
        "'test/a/again.bmp' = 'train/a/1.png'",
    }
    assert third.strip() == "'train/b/copy.png' = 'train/a/0.png'"


def test_images_of_16_bits_that_use_fewer_are_said_with_the_key_that_gives_their_white(tmp_path, capsys):
    root = make(tmp_path / "root", "a/*9", "b/*9")
    for n in range(9):
        save(root / "a" / f"deep {n}.png", Image.fromarray(np.full((9, 9), 3000 + n, np.uint16)))
    build(root)
    assert "9 images have 16 bits per pixel and no value above 3008" in (said := capsys.readouterr().out)
    assert "data.white_value=4095" in said
    images, _ = build(root, white_value=4095).splits["train"][:]
    assert "16 bits" not in capsys.readouterr().out
    assert (images == round(3000 / 4095 * 255)).all(dim=(1, 2, 3)).any()


def test_a_class_without_readable_images_is_named(tmp_path):
    root = make(tmp_path / "root", "a/*9", "b/*9")
    for path in list((root / "b").iterdir())[1:]:
        path.write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"needs 3 readable images .*: 'b' has 1\. Add images"):
        build(root, skip_unreadable=True)


def test_a_given_split_without_readable_images_is_named_and_not_drawn_from_train(tmp_path):
    root = make(tmp_path / "root", "train/a/*9", "train/b/*9", "val/a/*1", "val/b/*1")
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"data.root: val has no readable images"):
        build(root, skip_unreadable=True)


def test_what_a_new_image_needs_is_in_a_checkpoint(root):
    data = build(root)
    file = io.BytesIO()
    torch.save(data.state_dict(), file)
    file.seek(0)
    state = {"class_names": ["cat", "dog"], "input_shape": [3, 8, 8], "mean": [0.5] * 3, "std": [0.5] * 3}
    inputs = {"_target_": "my_project.data.images.image_inputs.ImageInputs", "white": 255, "white_value": None}
    assert torch.load(file, weights_only=True) == state | {"inputs": inputs, "eval_batch_size": 4}


def test_a_class_that_evaluation_lacks_is_named(tmp_path, capsys):
    build(make(tmp_path / "root", "train/a/*9", "train/b/*9", "val/a/*1", "val/b/*1", "test/a/*1"))
    assert "test has no readable images of class 'b'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "has no folders"),
        (["a/", "b/"], "has no images"),
        (["a/*9"], "only one class, 'a'"),
        (["a/*9", "b/", "c/*1"], "needs 3 readable images .*: 'b' has 0, 'c' has 1. Add images"),
        (["a/*9", "b/*2"], "needs 3 readable images .*: 'b' has 2"),
        (["train/*9", "test/*9"], "test' has no images"),
        (["Training/*9", "TESTING/*9"], "has no images in folders of classes"),
        (["val/a/*9", "test/a/*9"], "as train nothing; as val 'val'; as test 'test'"),
        (["train/a/*9", "train/b/*9", "other/a/*9"], "as none 'other'"),
        (["Train/a/*9", "train/b/*9", "dev/a/*9"], "as train 'Train', 'train'; as val 'dev'"),
        (["Training/a/*9", "PublicTest/a/*9", "PrivateTest/a/*9"], "as test 'PrivateTest', 'PublicTest'"),
        (["train/a/*9", "train/b/*9", "test/"], "test' has no images"),
        (["train/a/*9", "train/b/*9", "test/a/*9", "test/c/*9"], "needs 2 readable images .*: 'c' has 0"),
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
        ({"size": 0}, "data.size must be auto or at least 1 pixel, got 0"),
        ({"size": "big"}, "data.size must be auto or at least 1 pixel, got big"),
        ({"size": 10**6}, r"take 90\.0TB .* are free"),
        ({"channels": 2}, "data.channels must be 3"),
        ({"channels": 1, "mean": [0.5] * 3}, r"data.mean must have 1 number, .*got \[0.5, 0.5, 0.5\]"),
        ({"mean": [123.675, 116.28, 103.53]}, r"where white is 255, that is data.mean=\[0.485, 0.456, 0.406\]"),
        ({"std": [58.395, 57.12, 57.375]}, r"where white is 255, that is data.std=\[0.229, 0.224, 0.225\]"),
        ({"mean": [-0.5] * 3}, r"shares of white in \[0, 1\], got \[-0.5, -0.5, -0.5\]$"),
        ({"std": [0, 0.5, 0.5]}, r"data.std must have 3 numbers, .* above 0, got \[0, 0.5, 0.5\]"),
        ({"std": [float("nan")] * 3}, "data.std must have 3 numbers"),
        ({"std": 0.5}, "data.std must have 3 numbers, .*got 0.5"),
        ({"mean": "automatic"}, "data.mean must have 3 numbers, .*got automatic"),
        ({"white_value": 0}, "data.white_value must be above 0"),
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
            expected = read_image(root / files[place].path, 8, options.get("channels", 3)).pixels
            assert np.array_equal(image.permute(1, 2, 0), expected)
            assert ("cat", "dog")[label] == files[place].class_name


def test_auto_is_what_the_backbone_was_trained_with(root):
    pytest.importorskip("timm")
    auto = {"mean": "auto", "std": "auto", "cache": False}

    def usual(**options):
        data = ImageFolder(root=str(root), batch_size=4, cache_dir=str(root.parent / "cache"), **auto, **options)
        return data.input_shape, data.mean, data.std

    assert usual(backbone="vit_tiny_patch16_224.augreg_in21k", size=8) == ((3, 8, 8), [0.5] * 3, [0.5] * 3)
    assert usual(backbone="test_resnet")[0] == (3, 160, 160)
    imagenet = ((3, 224, 224), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert [usual(backbone=name) for name in (None, "mine", "resnet18.mine")] == [imagenet] * 3
    assert usual(channels=1, size=8) == ((1, 8, 8), [0.449], [0.226])

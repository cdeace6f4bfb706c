"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: their images, labels and official split."""

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision")


from my_project.engine.build import build
from my_project.engine.errors import ConfigError

from . import published as tiny


@pytest.fixture
def read(compose_config, tmp_path):
    """Return a function that builds the data of a name from the files in the test's own folder."""
    return lambda name, *more: build(
        compose_config(f"data={name}", f"data.root='{tmp_path}'", "data.download=false", *more).data
    )


def pixels(images: np.ndarray | torch.Tensor) -> list[bytes]:
    return [np.asarray(image).tobytes() for image in images]


@pytest.mark.parametrize("name", tiny.NUM_CLASSES)
def test_the_files_are_read_as_published(read, tmp_path, name):
    tiny.write(name, tmp_path)
    data, (train, test) = read(name), tiny.samples(name)
    assert data.num_classes == len(data.class_names) == tiny.NUM_CLASSES[name]
    for splits, (images, labels) in ((("train", "val"), train), (("test",), test)):
        written = dict(zip(pixels(images), labels.tolist(), strict=True))
        for split in splits:
            images, labels = data.splits[split][:]
            assert images.shape[1:] == data.input_shape
            assert labels.dtype == torch.int64
            assert [written.pop(image) for image in pixels(images)] == labels.tolist()  # each once, with its label
            assert len(set(labels.bincount(minlength=data.num_classes).tolist())) == 1
        assert not written


def test_a_batch_of_photographs_keeps_its_memory_channels_last_and_train_and_val_share_theirs(read, tmp_path):
    tiny.write("cifar10", tmp_path)
    data = read("cifar10")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        images, _ = batch = next(iter(loader))
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert all(change(images).is_contiguous(memory_format=torch.channels_last) for change in data.augment)
        assert data.on_after_batch_transfer(batch, 0)[0].is_contiguous(memory_format=torch.channels_last)
    assert len({data.splits[split].dataset.tensors[0].data_ptr() for split in ("train", "val")}) == 1


def test_split_sha256_names_the_samples_of_each_split(read, tmp_path):
    tiny.write("mnist", tmp_path)
    first = read("mnist").split_sha256
    assert read("mnist", "seed=1", "data.batch_size=7").split_sha256 == first
    names = {first, *(read("mnist", f"data.{key}").split_sha256 for key in ("split_seed=1", "val_fraction=0.2"))}
    train, (images, labels) = tiny.samples("mnist")
    tiny.write_samples("mnist", tmp_path, train, (images, labels[::-1].copy()))
    assert len(names | {read("mnist").split_sha256}) == 4


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_copies_are_left_out_of_training_and_never_out_of_test(read, tmp_path, capsys, name):
    train, test = tiny.samples(name)
    train[0][3], train[0][4], test[0][8] = test[0][7], train[0][5], test[0][7]
    tiny.write_samples(name, tmp_path, train, test)
    contents = {split: pixels(dataset[:][0]) for split, dataset in read(name).splits.items()}
    assert {split: len(images) for split, images in contents.items()} == {"train": 178, "val": 20, "test": 20}
    assert len(set().union(*contents.values())) == 217
    assert "2 training images are copies" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("val_fraction=0", "data.val_fraction must be between 0 and 1, got 0"),
        ("val_fraction=nan", "data.val_fraction must be between 0 and 1, got nan"),
        ("split_seed=-1", "data.split_seed must be at least 0, got -1"),
    ],
)
def test_a_split_that_cannot_be_made_is_said(read, tmp_path, override, message):
    tiny.write("mnist", tmp_path)
    with pytest.raises(ConfigError, match=message):
        read("mnist", f"data.{override}")

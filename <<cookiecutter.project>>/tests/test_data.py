"""Every dataset says its shape, splits without overlap, and splits the same way every time."""

import pytest
import torch
from conftest import options

from <<cookiecutter.package>>.engine.build import build


def ready(cfg):
    """Build the DataModule of a config the way a Trainer uses it."""
    data = build(cfg.data)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    return data


@pytest.fixture
def data(compose_config, choose, name):
    return ready(compose_config(*choose(f"data={name}")))


def loaders(data):
    return {"train": data.train_dataloader(), "val": data.val_dataloader(), "test": data.test_dataloader()}


@pytest.mark.parametrize("name", options("data"))
def test_batches_have_the_promised_shape_and_type(data, name):
    for loader in loaders(data).values():
        images, labels = data.on_after_batch_transfer(next(iter(loader)), 0)
        assert images.shape == (len(labels), *data.input_shape)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert images.isfinite().all()
        assert labels.min() >= 0
        assert labels.max() < data.num_classes == len(data.class_names)


def contents(data):
    """The images of each split, in any order; training leaves out the last few of an epoch, so several epochs are read."""
    images = {split: set() for split in ("train", "val", "test")}
    for split, loader in loaders(data).items():
        for epoch in range(8 if split == "train" else 1):
            getattr(loader.sampler, "set_epoch", int)(epoch)
            images[split] |= {image.numpy().tobytes() for batch, _ in loader for image in batch}
    return images


@pytest.mark.parametrize("name", options("data"))
def test_no_image_stands_in_two_splits(data, name):
    images = contents(data)
    assert not images["train"] & images["val"]
    assert not images["train"] & images["test"]
    assert not images["val"] & images["test"]


@pytest.mark.parametrize("name", options("data"))
def test_the_split_does_not_change_with_the_seed_of_the_run(compose_config, choose, data, name):
    other = ready(compose_config(*choose(f"data={name}"), "seed=1"))
    assert contents(other) == contents(data)


@pytest.mark.parametrize("name", options("data"))
def test_evaluation_serves_every_sample_once_and_in_the_same_order(data, name):
    for loader in (data.val_dataloader(), data.test_dataloader()):
        first, second = (torch.cat([labels for _, labels in loader]) for _ in range(2))
        assert torch.equal(first, second)
        assert len(first) == len(loader.dataset)

"""Every dataset says its shape, splits without overlap, and splits the same way every time."""

import pytest
import torch
from conftest import options
from torch.utils.data import TensorDataset

from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.loader import TensorLoader

pytestmark = pytest.mark.parametrize("name", options("data"))


@pytest.fixture
def data(compose_config, name):
    return build(compose_config(f"data={name}").data)


def loaders(data):
    return {"train": data.train_dataloader(), "val": data.val_dataloader(), "test": data.test_dataloader()}


def test_batches_have_the_promised_shape_type_and_range(data, name):
    for loader in loaders(data).values():
        images, labels = next(iter(loader))
        assert images.shape == (len(labels), *data.input_shape)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert images.isfinite().all()
        assert images.min() >= 0
        assert images.max() <= 1
        assert labels.min() >= 0
        assert labels.max() < data.num_classes == len(data.class_names)


def test_no_image_stands_in_two_splits(data, name):
    contents = {
        split: {image.numpy().tobytes() for images, _ in loader for image in images}
        for split, loader in loaders(data).items()
    }
    assert not contents["train"] & contents["val"]
    assert not contents["train"] & contents["test"]
    assert not contents["val"] & contents["test"]


def test_the_split_does_not_change_with_the_seed_of_the_run(compose_config, data, name):
    other = build(compose_config(f"data={name}", "seed=1").data)
    assert other.split_sha256 == data.split_sha256
    assert build(compose_config(f"data={name}", "data.split_seed=1").data).split_sha256 != data.split_sha256


def test_evaluation_serves_every_sample_once_and_in_the_same_order(data, name):
    for loader in (data.val_dataloader(), data.test_dataloader()):
        first, second = (torch.cat([labels for _, labels in loader]) for _ in range(2))
        assert torch.equal(first, second)
        assert len(first) == len(loader.dataset)


def test_the_training_order_is_a_function_of_seed_and_epoch(name):
    def order(seed, epoch, num_workers=0):
        dataset = TensorDataset(torch.arange(100))
        loader = TensorLoader(dataset, 8, shuffle=True, seed=seed, num_workers=num_workers)
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch for (batch,) in loader]).tolist()

    assert order(0, 0) == order(0, 0) == order(0, 0, num_workers=2)
    assert order(0, 0) != order(0, 1)
    assert order(0, 1) != order(1, 0)
    assert len(set(order(0, 0))) == 96  # 12 batches of 8

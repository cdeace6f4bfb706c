"""Every dataset serves what it says it does, splits without overlap, and splits the same way every time."""

import pytest
import torch
from conftest import options

from <<cookiecutter.package>>.engine.build import build

NAMES = pytest.mark.parametrize("name", options("data"))


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


@NAMES
def test_batches_have_the_promised_shape_and_type(data, name):
    for loader in loaders(data).values():
        *inputs, targets = data.on_after_batch_transfer(next(iter(loader)), 0)
        assert all(len(tensor) == len(targets) for tensor in inputs)
        assert {tensor.dtype for tensor in inputs} <= {torch.float32, torch.int64}  # int64: codes of categories
        assert all(tensor.isfinite().all() for tensor in (*inputs, targets))
        if hasattr(data, "input_shape"):
            assert inputs[0].shape[1:] == data.input_shape
        if hasattr(data, "num_classes"):
            assert targets.dtype == torch.int64
            assert targets.min() >= 0
            assert targets.max() < data.num_classes == len(data.class_names)


def contents(data):
    """The samples of each split, in any order; training leaves out the last few of an epoch, so several epochs are read."""
    samples = {split: set() for split in ("train", "val", "test")}
    for split, loader in loaders(data).items():
        for epoch in range(8 if split == "train" else 1):
            getattr(loader.sampler, "set_epoch", int)(epoch)
            for *inputs, _ in loader:
                samples[split] |= {
                    b"".join(part.numpy().tobytes() for part in sample) for sample in zip(*inputs, strict=True)
                }
    return samples


@NAMES
def test_no_sample_stands_in_two_splits(data, name):
    samples = contents(data)
    assert not samples["train"] & samples["val"]
    assert not samples["train"] & samples["test"]
    assert not samples["val"] & samples["test"]


@NAMES
def test_the_split_does_not_change_with_the_seed_of_the_run(compose_config, choose, data, name):
    other = ready(compose_config(*choose(f"data={name}"), "seed=1"))
    assert contents(other) == contents(data)


@NAMES
def test_evaluation_serves_every_sample_once_and_in_the_same_order(data, name):
    for loader in (data.val_dataloader(), data.test_dataloader()):
        first, second = (torch.cat([targets for *_, targets in loader]) for _ in range(2))
        assert torch.equal(first, second)
        assert len(first) == len(loader.dataset)

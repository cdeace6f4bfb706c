"""Every dataset serves what it says it does, splits without overlap, and splits the same way every time."""

import pytest
import torch
from conftest import options
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from <<cookiecutter.package>>.engine.build import build

NAMES = pytest.mark.parametrize("name", options("data"))
SPLITS = ("train", "val", "test")


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
    """Return the loaders of the splits that there are."""
    names = {split: f"{split}_dataloader" for split in SPLITS}
    return {split: getattr(data, name)() for split, name in names.items() if is_overridden(name, data)}


def tensors(batch):
    """Return the tensors of a batch, whatever holds them."""
    if isinstance(batch, Tensor):
        return [batch]
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, list | tuple) else []
    return [tensor for part in parts for tensor in tensors(part)]


def inputs_of(batch):
    """Return the tensors of a batch without its targets, where it is inputs and targets."""
    return tensors(batch[:-1] if isinstance(batch, list | tuple) and len(batch) > 1 else batch)


@NAMES
def test_batches_are_finite_and_of_the_promised_shape(data, name):
    for loader in loaders(data).values():
        batch = data.on_after_batch_transfer(next(iter(loader)), 0)
        assert all(tensor.isfinite().all() for tensor in tensors(batch))
        assert len({len(tensor) for tensor in tensors(batch)}) == 1
        if hasattr(data, "input_shape"):
            assert inputs_of(batch)[0].shape[1:] == torch.Size(data.input_shape)
        if hasattr(data, "num_classes") and tensors(batch)[-1].dim() == 1:
            labels = tensors(batch)[-1]
            assert labels.dtype == torch.int64
            assert labels.min() >= 0
            assert labels.max() < data.num_classes == len(data.class_names)


def contents(data):
    """The samples of each split, in any order; training leaves out the last few of an epoch, so several epochs are read."""
    samples = {}
    for split, loader in loaders(data).items():
        samples[split] = set()
        for epoch in range(8 if split == "train" else 1):
            getattr(getattr(loader, "sampler", None), "set_epoch", int)(epoch)
            for batch in loader:
                rows = zip(*inputs_of(batch), strict=True)
                samples[split] |= {b"".join(part.numpy().tobytes() for part in row) for row in rows}
    return samples


@NAMES
def test_no_sample_stands_in_two_splits(data, name):
    samples = contents(data)
    for split in samples:
        others = set().union(*(samples[other] for other in samples if other != split))
        assert not samples[split] & others


@NAMES
def test_the_split_does_not_change_with_the_seed_of_the_run(compose_config, choose, data, name):
    before, now = contents(data), contents(ready(compose_config(*choose(f"data={name}"), "seed=1")))
    assert all(before[split] == now[split] for split in before if split != "train")


@NAMES
def test_evaluation_serves_every_sample_once_and_in_the_same_order(data, name):
    for loader in (loader for split, loader in loaders(data).items() if split != "train"):
        first, second = (torch.cat([tensors(batch)[-1] for batch in loader]) for _ in range(2))
        assert torch.equal(first, second)
        assert len(first) == len(loader.dataset)

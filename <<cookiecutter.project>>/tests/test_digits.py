"""The digits: their range, their split, and the loader that serves them."""

from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from <<cookiecutter.package>>.data.images.digits import Digits
from <<cookiecutter.package>>.engine.loader import TensorLoader


def test_the_splits_have_the_promised_sizes_range_and_proportions():
    splits: Any = Digits().splits
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 1149, "val": 288, "test": 360}
    for dataset in splits.values():
        images, labels = dataset.tensors
        assert images.min() == 0
        assert images.max() == 1
        assert labels.unique().tolist() == list(range(10))
    counts = {name: dataset.tensors[1].bincount() for name, dataset in splits.items()}
    assert (counts["val"] - 0.25 * counts["train"]).abs().max() < 1  # stratified: a fifth of each class


def test_split_sha256_names_the_split():
    assert Digits(seed=1, batch_size=7).split_sha256 == Digits().split_sha256
    assert Digits(split_seed=1).split_sha256 != Digits().split_sha256
    assert Digits(val_fraction=0.3).split_sha256 != Digits().split_sha256


def order(seed, epoch, **options):
    """The samples of an epoch, one list for each batch."""
    loader = TensorLoader(TensorDataset(torch.arange(100)), 8, shuffle=True, seed=seed, **options)
    loader.sampler.set_epoch(epoch)
    return [batch.tolist() for (batch,) in loader]


def test_the_training_order_is_a_function_of_seed_and_epoch():
    assert order(0, 0) == order(0, 0) == order(0, 0, num_workers=2)
    assert order(0, 0) != order(0, 1)
    assert order(0, 1) != order(1, 0)
    assert len({sample for batch in order(0, 0) for sample in batch}) == 96  # 12 batches of 8


def test_an_unknown_option_of_the_loader_is_refused():
    with pytest.raises(TypeError, match="num_worker"):
        order(0, 0, num_worker=2)

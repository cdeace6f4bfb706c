"""The digits: their range, their split, and the loader that serves them."""

from typing import Any

import pytest
import torch
from my_project.data.images.digits import Digits
from my_project.data.split import draw
from my_project.engine.build import build
from my_project.engine.errors import ConfigError
from my_project.engine.loader import TensorLoader
from torch.utils.data import TensorDataset


def digits(**settings) -> Any:
    return Digits(mean=[0.0], std=[1.0], **({"batch_size": 32} | settings))


def test_the_splits_have_the_promised_sizes_range_and_proportions():
    splits = digits().splits
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 1149, "val": 288, "test": 360}
    for dataset in splits.values():
        images, labels = dataset.tensors
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (1, 8, 8)
        assert images.min() == 0
        assert images.max() == 16
        assert labels.unique().tolist() == list(range(10))
    counts = {name: dataset.tensors[1].bincount() for name, dataset in splits.items()}
    assert (counts["val"] - 0.25 * counts["train"]).abs().max() < 1  # stratified: a fifth of each class


def test_the_mean_and_deviation_of_the_config_are_those_of_the_training_pixels(compose_config):
    data = build(compose_config("data=digits").data)
    images = data.normalize(data.splits["train"].tensors[0])
    assert images.dtype == torch.float32
    assert abs(images.mean()) < 1e-3
    assert abs(images.std() - 1) < 1e-3


def test_split_sha256_names_the_split():
    assert digits(seed=1, batch_size=7).split_sha256 == digits().split_sha256
    assert digits(split_seed=1).split_sha256 != digits().split_sha256
    assert digits(val_fraction=0.3).split_sha256 != digits().split_sha256


def test_of_each_class_the_same_share_is_drawn_and_one_sample_at_least():
    labels = ["a"] * 100 + ["b"] * 10 + ["c"] * 3
    splits = draw(labels, {"test": 0.2, "val": 0.1}, seed=0)
    counts = {name: [sum(labels[n] == kind for n in places) for kind in "abc"] for name, places in splits.items()}
    assert counts == {"train": [70, 7, 1], "test": [20, 2, 1], "val": [10, 1, 1]}
    assert sorted(n for places in splits.values() for n in places) == list(range(113))
    assert [len(places) for places in draw(labels, {"val": 0.999}, seed=0).values()] == [3, 110]


def test_a_class_that_is_too_small_and_a_negative_seed_are_refused():
    with pytest.raises(ConfigError, match="class b has 2 samples for 3 splits"):
        draw([*"aaabb"], {"test": 0.2, "val": 0.1}, seed=0)
    with pytest.raises(ConfigError, match=r"data\.split_seed must be at least 0, got -1"):
        draw([*"aab"], {"val": 0.1}, seed=-1)


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

"""Draw the samples of each split, and name a split, so that a run can say which samples it was trained and tested on."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from <<cookiecutter.package>>.engine.errors import ConfigError


def draw(labels: Any, fractions: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Return the places of the samples of train and of each split in `fractions`, ascending.

    Of each class the same share is drawn, and at least one sample for every split.

    Args:
        labels: (N,), numbers or strings; all the same where there are no classes.
        fractions: of all samples, by the name of the split; train has the rest.
        seed: draws them.

    Raises:
        ConfigError: a class has fewer samples than there are splits.
    """
    if seed < 0:
        raise ConfigError(f"data.split_seed must be at least 0, got {seed}")
    classes, labels, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    num_splits = len(fractions) + 1
    if len(counts) and counts.min() < num_splits:
        raise ConfigError(f"class {classes[counts.argmin()]} has {counts.min()} samples for {num_splits} splits")
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)  # of a sample within its class
    by_class = order[np.argsort(labels[order], kind="stable")]
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    splits, used = {}, np.zeros_like(counts)
    for number, (name, fraction) in enumerate(fractions.items(), start=1):
        most = counts - used - (num_splits - number)  # leaves a sample for each split that follows, and for train
        end = used + np.clip(np.round(fraction * counts).astype(np.int64), 1, most)
        splits[name] = np.flatnonzero((rank >= used[labels]) & (rank < end[labels]))
        used = end
    return {"train": np.flatnonzero(rank >= used[labels]), **splits}


def split_sha256(splits: Mapping[str, Dataset[Any]]) -> str:
    """Return a hash of the content of every split: another sample, label, order or name gives another hash."""
    digest = hashlib.sha256()
    for name, dataset in splits.items():
        for tensor in dataset[:]:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()

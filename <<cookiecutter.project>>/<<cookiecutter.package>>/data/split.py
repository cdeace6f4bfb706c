"""Draw the samples of a split, and name a split, so that a run can say which samples it was trained and tested on."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.utils.data import Dataset


def draw(labels: Any, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the samples that stay, and of those that are drawn: of each class the same fraction.

    As scikit-learn's train_test_split with stratify does, which takes a second to import.

    Args:
        labels: (N,), numbers or strings.
        fraction: of each class, between 0 and 1; at least one sample stays and one is drawn.
        seed: draws them.

    Raises:
        ValueError: a class has only one sample.
    """
    classes, labels, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if len(counts) and counts.min() < 2:
        raise ValueError(f"class {classes[counts.argmin()]} has {counts.min()} sample, and each part needs one")
    wanted = np.clip(np.round(fraction * counts), 1, counts - 1)
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)  # of a sample within its class
    by_class = order[np.argsort(labels[order], kind="stable")]
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_drawn = rank < wanted[labels]
    return np.flatnonzero(~is_drawn), np.flatnonzero(is_drawn)


def split_sha256(splits: Mapping[str, Dataset[Any]]) -> str:
    """Return a hash of the content of every split: another sample, label, order or name gives another hash."""
    digest = hashlib.sha256()
    for name, dataset in splits.items():
        for tensor in dataset[:]:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()

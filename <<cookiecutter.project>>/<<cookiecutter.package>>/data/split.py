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
    labels = np.asarray(labels)
    if labels.dtype.kind == "i":  # one or two bytes are sorted in linear time
        labels = labels.astype(np.min_scalar_type(-1 - int(np.abs(labels).max(initial=0))))
    classes, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    num_splits = len(fractions) + 1
    if len(counts) and counts.min() < num_splits:
        raise ConfigError(f"class {classes[counts.argmin()]} has {counts.min()} samples for {num_splits} splits")
    labels = labels.astype(np.min_scalar_type(len(classes)))
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class
    sizes = np.zeros((len(classes), num_splits), dtype=np.int64)  # of each class: of each split, and last of train
    for number, fraction in enumerate(fractions.values()):
        most = counts - sizes.sum(axis=1) - (num_splits - number - 1)  # a sample for each split that follows
        sizes[:, number] = np.clip(np.round(fraction * counts), 1, most)
    sizes[:, -1] = counts - sizes.sum(axis=1)
    split_of = np.empty(len(labels), dtype=np.int8)
    split_of[order] = np.repeat(np.tile(np.arange(num_splits, dtype=np.int8), len(classes)), sizes.ravel())
    numbers = {"train": num_splits - 1} | {name: number for number, name in enumerate(fractions)}
    return {name: np.flatnonzero(split_of == number) for name, number in numbers.items()}


def split_sha256(splits: Mapping[str, Dataset[Any]]) -> str:
    """Return a hash of the content of every split: another sample, label, order or name gives another hash."""
    digest = hashlib.sha256()
    for name, dataset in splits.items():
        for tensor in dataset[:]:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()

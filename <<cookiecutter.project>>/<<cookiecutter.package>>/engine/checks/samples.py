"""The samples that a loader serves: which they are, and what is known of them without loading any."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
)

from <<cookiecutter.package>>.engine.loader import SeededBatches

from .finding import Finding


@dataclass(frozen=True)
class Samples:
    """The samples that a loader serves.

    Args:
        base: the dataset that holds them, below subsets and wrappers.
        indices: (N,), int64, their places in it.
        names: (N,), int64, their places in the dataset of the loader.
    """

    base: Any
    indices: np.ndarray
    names: np.ndarray


def loaders_of(loader: Any) -> list[Any]:
    """Return the loaders of a split: one, or those of a list, a dict or Lightning's CombinedLoader."""
    if loader is None or isinstance(loader, DataLoader):
        return [] if loader is None else [loader]
    several = getattr(loader, "flattened", list(loader.values()) if isinstance(loader, dict) else loader)
    return list(several) if isinstance(several, list | tuple) else [loader]


def has_known_order(loader: Any) -> bool:
    """Say whether `loader.sampler` decides what is served: beside a batch sampler of one's own it means nothing."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return False
    return loader.batch_sampler is None or type(loader.batch_sampler) is BatchSampler


def sampler_of(loader: Any) -> Any:
    """Return what decides on the order, where that is known: it may be in a batch sampler."""
    return loader.sampler if loader.batch_sampler is None else loader.batch_sampler.sampler


def samples_of(loader: Any) -> Samples | None:
    """Return the samples that a loader serves, None if that shows only while it does."""
    if not has_known_order(loader) or not hasattr(loader.dataset, "__len__"):
        return None
    sampler = sampler_of(loader)
    if isinstance(sampler, SubsetRandomSampler):
        names = np.asarray(sampler.indices, dtype=np.int64)
    elif isinstance(sampler, WeightedRandomSampler):
        names = sampler.weights.nonzero().flatten().numpy()
    elif isinstance(sampler, SequentialSampler | RandomSampler | DistributedSampler):
        names = np.arange(len(loader.dataset))
    else:
        return None
    base, indices = loader.dataset, names
    while True:
        if isinstance(base, Subset):
            base, indices = base.dataset, np.asarray(base.indices, dtype=np.int64)[indices]
        elif (inner := wrapped(base)) is not None:
            base = inner
        else:
            return Samples(base, indices, names)


def wrapped(dataset: Any) -> Any:
    """Return the dataset of the same length that a dataset wraps, to transform its samples."""
    if isinstance(dataset, SeededBatches):
        return dataset.dataset
    inner = [v for v in getattr(dataset, "__dict__", {}).values() if isinstance(v, Dataset) and hasattr(v, "__len__")]
    return inner[0] if len(inner) == 1 and len(inner[0]) == len(dataset) else None  # type: ignore[arg-type]


def paths_of(base: Any) -> list[str] | None:
    """Return the path of each sample, if a dataset keeps them as torchvision's ImageFolder does."""
    for name in ("samples", "imgs"):
        paths = getattr(base, name, None)
        if isinstance(paths, list) and paths and isinstance(paths[0], tuple) and isinstance(paths[0][0], str):
            return [os.path.abspath(path[0]) for path in paths]
    return None


def rows_of(base: Any) -> list[np.ndarray]:
    """Return the arrays (N, ...) of inputs that a dataset holds in memory; empty if none are known."""
    if isinstance(base, ConcatDataset):
        parts = [rows_of(part) for part in base.datasets]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=False)] if all(parts) else []
    if isinstance(base, Subset):
        return [array[np.asarray(base.indices, dtype=np.int64)] for array in rows_of(base.dataset)]
    if isinstance(base, TensorDataset):
        return [tensor.numpy(force=True) for tensor in (base.tensors[:-1] or base.tensors)]
    arrays = [v for v in getattr(base, "__dict__", {}).values() if isinstance(v, Tensor | np.ndarray) and v.ndim > 1]
    arrays = [v.numpy(force=True) if isinstance(v, Tensor) else v for v in arrays if len(v) == len(base)]
    arrays = [array for array in arrays if array.dtype != object and array.size]
    return [max(arrays, key=lambda array: array[:1].nbytes)] if arrays else []


def labels_of(loader: Any) -> Tensor | None:
    """Return all labels of a loader without loading a sample, None if only the batches show them."""
    if not has_known_order(loader) or loader.collate_fn not in (default_collate, default_convert):
        return None
    dataset = loader.dataset.dataset if isinstance(loader.dataset, SeededBatches) else loader.dataset
    labels = held_labels(dataset)
    sampler = sampler_of(loader)
    if labels is not None and isinstance(sampler, SubsetRandomSampler):
        return labels[torch.as_tensor(sampler.indices, dtype=torch.int64)]
    if labels is not None and isinstance(sampler, WeightedRandomSampler):
        return labels[sampler.weights.nonzero().flatten()]
    return labels


def held_labels(dataset: Any) -> Tensor | None:
    if isinstance(dataset, Subset):
        labels = held_labels(dataset.dataset)
        return None if labels is None else labels[torch.as_tensor(dataset.indices, dtype=torch.int64)]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1] if len(dataset.tensors) == 2 else None
    labels = getattr(dataset, "targets", None)
    if labels is None or getattr(dataset, "target_transform", None) is not None:
        return None
    try:
        return torch.as_tensor(labels) if len(labels) == len(dataset) else None
    except (TypeError, ValueError, RuntimeError):
        return None  # boxes, captions


def check_counted(loader: Any, samples: int, split: str) -> Iterator[Finding]:
    """(22) An evaluation of a whole split sees each of its samples once."""
    sampler: Any = sampler_of(loader) if has_known_order(loader) and loader.batch_sampler is not None else None
    if not hasattr(sampler, "__len__"):
        return
    repeats = isinstance(sampler, list | tuple) and len(set(sampler)) < len(sampler)
    if getattr(sampler, "replacement", False) or repeats:
        yield Finding(
            "metrics",
            split,
            f"the samples of {split} are drawn with replacement",
            "some count several times, others not at all",
            "make the loader of evaluation without a sampler and with shuffle=False",
        )
    elif getattr(loader.batch_sampler, "drop_last", False) and samples < len(sampler):
        yield Finding(
            "metrics",
            split,
            f"{len(sampler) - samples} of {len(sampler)} samples of {split} are left out",
            "the metrics are those of a part of the split",
            "make the loader of evaluation with drop_last=False",
        )

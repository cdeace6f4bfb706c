"""Batches as they come, and what loaders tell without loading any: inputs, labels, splits and order."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data
from torch.utils._pytree import tree_leaves

from <<cookiecutter.package>>.engine.checks.findings import Finding

LABELS = ("labels", "label", "targets", "target", "y")
NUM_BATCHES = 6  # of a pass, whose order is compared
MAX_BYTES = 64 * 1024**2  # of inputs in memory: they are hashed within a second


def inputs_and_labels(batch: Any) -> tuple[Any, Any]:
    """Return the first and the last part of a batch, of a dict the labels by their name; None for what it has not."""
    if isinstance(batch, Mapping):
        labels = next((batch[key] for key in LABELS if key in batch), None)
        return next((value for key, value in batch.items() if key not in LABELS), None), labels
    if isinstance(batch, list | tuple) and batch:
        return batch[0], batch[-1] if len(batch) > 1 else None
    return batch, None


def loaders_of(loaders: Any) -> list[Any]:
    """Return the DataLoaders among one loader or several, in lists, dicts or a CombinedLoader."""
    return [x for x in tree_leaves(getattr(loaders, "flattened", loaders)) if isinstance(x, data.DataLoader)]


def sampler_of(loader: Any) -> Any:
    """Return what decides on the order of a loader, None where that is not known."""
    batches = loader.batch_sampler
    if isinstance(loader.dataset, data.IterableDataset) or type(batches) not in (data.BatchSampler, type(None)):
        return None
    return loader.sampler if batches is None else batches.sampler


def check_inputs(inputs: Any, batch: Any, split: str) -> Iterator[Finding]:
    """What the first layer is given is finite, and on a scale that weights are made for; so is what was served."""
    served = inputs_and_labels(batch)[0]
    broken = [isinstance(x, Tensor) and x.is_floating_point() and not x.isfinite().all() for x in (served, inputs)]
    if any(broken):
        what = f"inputs of {split} are NaN or infinite" + ("" if broken[1] else ", and the model replaces them")
        remedy, effect = "remove or fill such values when the data is made", "one of them makes the loss NaN"
        yield Finding("inputs", split, what, "wrong" if broken[1] else "check", remedy, effect)
    elif isinstance(inputs, Tensor) and isinstance(served, Tensor) and inputs.numel() == served.numel() > 1:
        mean, std = inputs.float().mean().item(), inputs.float().std().item()
        if std > 10 or abs(mean) > 10 * max(std, 1) or std < 0.003:
            yield Finding("inputs", split, f"inputs of {split} have mean {mean:.3g} and standard deviation {std:.3g}")


def check_samplers(loaders: Any, split: str) -> Iterator[Finding]:
    """Training data is shuffled, evaluation data is not, and each of its samples comes once."""
    for loader in loaders_of(loaders):
        sampler = sampler_of(loader)
        shuffles = getattr(sampler, "shuffle", isinstance(sampler, data.RandomSampler | data.SubsetRandomSampler))
        fixed = isinstance(sampler, data.SequentialSampler) or (hasattr(sampler, "shuffle") and not shuffles)
        if sampler is None or len(loader) < 2:
            continue
        if split == "train" and fixed:
            yield Finding("shuffling", split, "training data comes in the same order in each epoch")
        elif split != "train" and shuffles:
            effect, remedy = "what depends on the order differs from pass to pass", f"set shuffle=False for {split}"
            yield Finding("shuffling", split, f"{split} comes in a new order in each pass", None, remedy, effect)
        elif split != "train" and isinstance(sampler, list | tuple) and len(set(sampler)) < len(sampler):
            yield Finding("metrics", split, f"{len(sampler) - len(set(sampler))} samples of {split} are drawn twice")


def rows_of(dataset: Any) -> tuple[Tensor, ...]:
    """Return the tensors (N, ...) of a dataset that lies in memory, below subsets and wrappers; else an empty tuple."""
    if isinstance(dataset, data.TensorDataset):
        return dataset.tensors
    if isinstance(dataset, data.Subset):
        return tuple(rows[torch.as_tensor(dataset.indices)] for rows in rows_of(dataset.dataset))
    if isinstance(dataset, data.ConcatDataset):
        parts = [rows_of(part) for part in dataset.datasets]
        return tuple(map(torch.cat, zip(*parts, strict=True))) if len({len(part) for part in parts}) == 1 else ()
    inner: Any = getattr(dataset, "dataset", None)
    is_wrapper = hasattr(inner, "__len__") and hasattr(dataset, "__len__") and len(inner) == len(dataset)
    return rows_of(inner) if is_wrapper else ()


def served_rows(loaders: Any) -> tuple[Tensor, ...]:
    """Return the tensors whose rows the loader of a split can serve, if it is one and they lie in memory."""
    found = loaders_of(loaders)
    sampler = sampler_of(found[0]) if found else None
    rows = rows_of(found[0].dataset) if len(found) == 1 and not isinstance(sampler, data.WeightedRandomSampler) else ()
    if isinstance(sampler, data.SubsetRandomSampler):
        return tuple(x[torch.as_tensor(sampler.indices)] for x in rows)
    return rows


def check_splits(loaders: dict[str, Any]) -> Iterator[Finding]:
    """No sample that lies in memory is in two splits; a few equal ones may be others."""
    held = ((split, served_rows(given)) for split, given in loaders.items())
    rows = {split: x for split, x in held if x and x[0].nbytes <= MAX_BYTES and x[0][0].numel() > 1}
    for found in check_shared({split: row_hashes(x) for split, x in rows.items()}):
        yield found if len(rows[found.where]) > 1 else replace(found, verdict="check")  # no labels to learn by heart


def check_shared(samples: dict[str, np.ndarray]) -> Iterator[Finding]:
    """No sample is in two splits, by the hash and the row (N, 2) of each one; a few equal ones may be others."""
    for one, other in combinations(samples, 2):
        shared, at, there = np.intersect1d(samples[one][:, 0], samples[other][:, 0], return_indices=True)
        if len(shared):
            pairs = sorted(zip(samples[one][at, 1].tolist(), samples[other][there, 1].tolist(), strict=True))[:3]
            examples = ", ".join(f"{one} {row} = {other} {same}" for row, same in pairs)
            first, second = (len(np.unique(samples[split][:, 0])) for split in (one, other))
            by_chance = len(shared) <= max(1, 0.01 * second) or first <= 0.99 * len(samples[one])
            what = f"{len(shared)} of {second} samples of {other} are in {one} too: {examples}"
            yield Finding("splits", other, what, "check" if by_chance else None)


def row_hashes(held: tuple[Tensor, ...]) -> np.ndarray:
    """Return a hash of the inputs of each sample, all tensors but the last one, the labels; and its row: (N, 2), int64."""
    flat = [np.ascontiguousarray(x.numpy(force=True)).reshape(len(x), -1) for x in held[:-1] or held if x[0].numel()]
    columns = [x.view(f"V{x.shape[1] * x.itemsize}").ravel() for x in flat]
    parts = (zip(*(x[n : n + 2**16].tolist() for x in columns), strict=True) for n in range(0, len(held[0]), 2**16))
    hashes = np.fromiter((hash(row) for part in parts for row in part), dtype=np.int64, count=len(held[0]))
    return np.stack([hashes, np.arange(len(hashes))], axis=1)


class Passes:
    """A number for each of the first batches of each pass over a split."""

    def __init__(self) -> None:
        self.passes: list[list[float]] = []

    def see(self, batch: Any, batch_idx: int) -> None:
        self.passes += [[]] if batch_idx == 0 else []
        inputs = next((x for x in tree_leaves(batch) if isinstance(x, Tensor)), torch.zeros(0))
        if self.passes and inputs.numel() and batch_idx < NUM_BATCHES:
            total = float(inputs.detach().sum(dtype=torch.float64))
            self.passes[-1].append(total if math.isfinite(total) else float(inputs.double().nan_to_num().sum()))

    def check(self, split: str) -> Iterator[Finding]:
        """Compare the last pass with the one before."""
        first, second = [[], [], *self.passes][-2:]
        if second and len(second) >= min(NUM_BATCHES, len(first)) and len(self.passes) > 1:
            if split == "train" and first == second and len(set(first)) > 1:
                yield Finding("shuffling", split, "two epochs have served the same samples in the same order")
            elif split != "train" and sorted(first) != sorted(second):
                yield Finding("augmentation", split, f"two passes over {split} have served other inputs")

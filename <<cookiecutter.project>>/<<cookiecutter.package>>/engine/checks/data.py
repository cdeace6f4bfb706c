"""Batches as they come, and what loaders tell without loading any: inputs, labels, splits and order."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from <<cookiecutter.package>>.engine.checks.findings import Finding

LABELS = ("labels", "label", "targets", "target", "y")
NUM_BATCHES = 6  # of a pass, whose order is compared
MAX_BYTES = 64 * 1024**2  # of inputs in memory, that are hashed within a second


def inputs_and_labels(batch: Any) -> tuple[Any, Any]:
    """Return the first and the last part of a batch, of a dict the labels by their name; None for what it has not."""
    if isinstance(batch, Mapping):
        labels = next((batch[key] for key in LABELS if key in batch), None)
        return next((value for key, value in batch.items() if key not in LABELS), None), labels
    if isinstance(batch, list | tuple) and batch:
        return batch[0], batch[-1] if len(batch) > 1 else None
    return batch, None


def loaders_of(loaders: Any) -> list[DataLoader]:
    """Return the DataLoaders among one loader or several, in lists, dicts or a CombinedLoader."""
    return [x for x in tree_leaves(getattr(loaders, "flattened", loaders)) if isinstance(x, DataLoader)]


def sampler_of(loader: DataLoader) -> Any:
    """Return what decides on the order of a loader, None where that is not known."""
    if isinstance(loader.dataset, IterableDataset) or type(loader.batch_sampler) not in (BatchSampler, type(None)):
        return None
    return loader.sampler if loader.batch_sampler is None else loader.batch_sampler.sampler


def check_inputs(inputs: Any, batch: Any, split: str) -> Iterator[Finding]:
    """Inputs are finite, and on a scale that weights are made for.

    Args:
        inputs: what the first layer is given.
        batch: as it was served.
        split: its name.
    """
    served = inputs_and_labels(batch)[0]
    has_nan = [isinstance(x, Tensor) and x.is_floating_point() and not x.isfinite().all() for x in (served, inputs)]
    if any(has_nan):
        what = f"inputs of {split} are NaN or infinite" + ("" if has_nan[1] else ", and the model replaces them")
        effect = "one such sample makes the loss of its batch NaN, and from the next step on all weights"
        remedy = "remove or fill such values when the data is made; look for a division by a zero deviation"
        yield Finding("inputs", split, what, "wrong" if has_nan[1] else "check", remedy, effect)
    elif isinstance(inputs, Tensor) and isinstance(served, Tensor) and inputs.numel() == served.numel() > 1:
        mean, std = inputs.float().mean().item(), inputs.float().std().item()
        if std > 10 or abs(mean) > 10 * max(std, 1) or std < 0.003:
            yield Finding("inputs", split, f"inputs of {split} have mean {mean:.3g} and standard deviation {std:.3g}")


def check_samplers(loaders: Any, split: str) -> Iterator[Finding]:
    """Training data is shuffled, evaluation data is not, and each of its samples comes once."""
    for loader in loaders_of(loaders):
        sampler = sampler_of(loader)
        if sampler is None or not hasattr(loader, "__len__") or len(loader) < 2:
            continue
        shuffles = getattr(sampler, "shuffle", None)
        if split == "train" and (isinstance(sampler, SequentialSampler) or shuffles is False):
            yield Finding("shuffling", split, "training data comes in the same order in each epoch")
        elif split != "train" and (isinstance(sampler, RandomSampler | SubsetRandomSampler) or shuffles is True):
            effect = "what depends on the order differs from pass to pass: averages over batches, logged samples"
            remedy = f"set shuffle=False for the {split} loader; for a part of a dataset use Subset"
            yield Finding("shuffling", split, f"{split} comes in a new order in each pass", None, remedy, effect)
        elif split != "train" and isinstance(sampler, list | tuple) and len(set(sampler)) < len(sampler):
            twice = len(sampler) - len(set(sampler))
            what = f"{twice} of the {len(sampler)} samples that {split} draws are drawn again"
            yield Finding("metrics", split, what, remedy=f"serve each sample of {split} once, without a sampler")


def rows_of(dataset: Any) -> tuple[Tensor, ...]:
    """Return the tensors (N, ...) of a dataset that lies in memory, below subsets and wrappers; else an empty tuple."""
    if isinstance(dataset, TensorDataset):
        return dataset.tensors
    if isinstance(dataset, Subset):
        return tuple(rows[torch.as_tensor(dataset.indices)] for rows in rows_of(dataset.dataset))
    if isinstance(dataset, ConcatDataset):
        parts = [rows_of(part) for part in dataset.datasets]
        return tuple(map(torch.cat, zip(*parts, strict=True))) if len({len(part) for part in parts}) == 1 else ()
    inner = getattr(dataset, "dataset", None)
    return rows_of(inner) if hasattr(inner, "__len__") and len(inner) == len(dataset) else ()


def served_rows(loader: DataLoader) -> tuple[Tensor, ...]:
    """Return those that a loader can serve."""
    rows, sampler = rows_of(loader.dataset), sampler_of(loader)
    if isinstance(sampler, SubsetRandomSampler):
        return tuple(x[torch.as_tensor(sampler.indices)] for x in rows)
    if isinstance(sampler, WeightedRandomSampler):
        return tuple(x[sampler.weights.nonzero().flatten()] for x in rows)
    return rows


def check_classes(loaders: Any, num_classes: int) -> Iterator[Finding]:
    """Each class has a sample in training."""
    held = [rows[-1] for rows in map(served_rows, loaders_of(loaders)) if len(rows) > 1]
    if len(held) == 1 and held[0].dim() == 1 and not held[0].is_floating_point():
        missing = sorted(set(range(max(num_classes, 2))) - set(held[0].unique().tolist()))
        if missing:
            what = f"{len(missing)} of {num_classes} classes have no sample in train: {', '.join(map(str, missing[:10]))}"
            what += "; the labels seem to count from 1" if missing == [0] else ""
            effect = "the model would never predict them, and is scored on them all the same"
            remedy = "number the classes from 0, split each in proportion, or lower num_classes of the data"
            yield Finding("labels", "train", what, "check", remedy, effect)


def check_splits(loaders: dict[str, Any]) -> Iterator[Finding]:
    """No sample that lies in memory is in two splits; a few equal ones may be others."""
    rows = {split: [served_rows(loader) for loader in loaders_of(given)] for split, given in loaders.items()}
    known = {split: found[0] for split, found in rows.items() if len(found) == 1 and found[0]}
    known = {split: found for split, found in known.items() if found[0].nbytes <= MAX_BYTES and found[0][0].numel() > 1}
    hashes = {split: hashes_of(found[0]) for split, found in known.items()}
    for one, other in combinations(hashes, 2):
        theirs = set(hashes[one])
        shared = [row for row, digest in enumerate(hashes[other]) if digest in theirs]
        if shared:
            many = len(shared) > 0.01 * len(hashes[other]) and len(theirs) > 0.99 * len(hashes[one])
            what = f"{len(shared)} of the {len(hashes[other])} samples of {other} are in {one} too: row {shared[0]}"
            certain = many and len(known[other]) > 1  # without labels there is nothing to learn by heart
            yield Finding("splits", other, what + (", ..." if len(shared) > 1 else ""), None if certain else "check")


def hashes_of(rows: Tensor) -> list[bytes]:
    return [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows.cpu().contiguous().numpy()]


class Passes:
    """A number for each of the first batches of two passes over a split."""

    def __init__(self) -> None:
        self.passes: list[list[float]] = []

    def see(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.passes.append([])
        inputs = next((x for x in tree_leaves(batch) if isinstance(x, Tensor)), None)
        if inputs is not None and inputs.numel() and self.passes and batch_idx < NUM_BATCHES:
            flat = inputs.detach().flatten()
            flat = flat[:: max(1, len(flat) // 4096)].double()
            self.passes[-1].append(float((flat * (torch.arange(len(flat), device=flat.device) % 1009 + 1)).sum()))

    def check(self, split: str) -> Iterator[Finding]:
        """Compare the last pass with the one before."""
        if len(self.passes) < 2 or len(self.passes[-1]) < min(NUM_BATCHES, len(self.passes[-2])):
            return
        first, second = self.passes[-2:]
        if split == "train" and first == second and len(set(first)) > 1:
            yield Finding("shuffling", split, "two epochs have served the same samples in the same order")
        elif split != "train" and sorted(first) != sorted(second):
            yield Finding("augmentation", split, f"two passes over {split} have served other inputs")

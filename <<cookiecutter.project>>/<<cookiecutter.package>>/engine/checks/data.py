"""Labels, inputs, splits and order of the data are what training needs."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import RandomSampler, SequentialSampler, SubsetRandomSampler

from <<cookiecutter.package>>.engine.survival.rng_state import rng_state, set_rng_state

from .augmentation import check_augmentation, check_evaluation_data
from .batch import class_labels, inputs_and_labels, tensors
from .finding import Finding
from .samples import has_known_order, labels_of, loaders_of, rows_of, sampler_of, samples_of
from .splits import check_splits

MAX_BYTES = 256 * 1024**2  # of two splits, compared in a run
IGNORED = -100  # label that torch's losses leave out
NAMED = 10  # classes, labels and samples named in a message

MIN_SCALE, MAX_SCALE = 0.003, 10.0  # of inputs that a network with usual weights can start from


def check_data(
    loaders: dict[str, Any],
    num_classes: int | None,
    *,
    overfit: bool = False,
    ignore_index: int = IGNORED,
    max_bytes: float = MAX_BYTES,
    deadline: float = 0.0,
) -> Iterator[Finding]:
    """Look at what is known without loading a sample.

    Args:
        loaders: by split: train, val, test; a split may have a list or dict of them.
        num_classes: None leaves out the labels.
        overfit: the run learns a few batches by heart, in a fixed order (`overfit_batches`).
        ignore_index: label that the loss leaves out.
        max_bytes: of two splits in memory; more is not compared.
        deadline: in `time.monotonic()`; until then samples are loaded to compare the splits, if nothing else tells.
    """
    for split, loader in flat(loaders):
        labels = class_labels(labels_of(loader))
        if labels is not None and num_classes is not None:
            yield from check_labels(labels, num_classes, split, ignore_index=ignore_index, whole=split == "train")
        if not overfit:
            yield from check_order(loader, split)
    yield from check_splits(loaders, max_bytes, deadline)


def check_data_whole(loaders: dict[str, Any], num_classes: int | None, seconds: float) -> Iterator[Finding]:
    """Look at the samples too, for about so many seconds; random states are what they were afterwards."""
    deadline = time.monotonic() + seconds
    every = [loader for _, loader in flat(loaders)]
    state = rng_state(every)
    try:
        yield from check_data(loaders, num_classes, max_bytes=float("inf"), deadline=time.monotonic() + seconds / 2)
        for split, loader in flat(loaders):
            yield from check_augmentation(loader) if split == "train" else check_evaluation_data(loader, split)
        for split, loader in flat(loaders):
            if num_classes is not None and class_labels(labels_of(loader)) is None:
                labels, whole = loaded_labels(loader, deadline)
                if labels is not None:
                    yield from check_labels(labels, num_classes, split, whole=whole and split == "train")
    finally:
        set_rng_state(state, every)


def flat(loaders: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(split, loader) for split, several in loaders.items() for loader in loaders_of(several)]


def loaded_labels(loader: Any, deadline: float) -> tuple[Tensor | None, bool]:
    """Return the labels of the batches that are loaded before the deadline, and whether these were all."""
    found = []
    for batch in loader:
        labels = class_labels(inputs_and_labels(batch)[1])
        if labels is None or time.monotonic() > deadline:
            return (torch.cat(found) if found else None), False
        found.append(labels)
    return (torch.cat(found) if found else None), True


def check_labels(
    labels: Tensor, num_classes: int, where: str, *, ignore_index: int = IGNORED, whole: bool = False
) -> Iterator[Finding]:
    """Find labels that name no class, and, in the whole of a training split, classes that no label names.

    Args:
        labels: (N,), as from `class_labels`.
        num_classes: 1, for a single logit, has two classes.
        where: the split.
        ignore_index: label that the loss leaves out.
        whole: these are all the labels of the split, and each class should have some.
    """
    num_classes = max(num_classes, 2)
    if labels.is_floating_point() and num_classes == 2:
        return  # the target of a binary loss
    if labels.is_floating_point():
        yield Finding(
            "labels",
            where,
            what=f"labels of {where} are {str(labels.dtype).removeprefix('torch.')}, not integers",
            effect="a loss takes them for probabilities or fails; made integers, labels that differ may become one class",
            remedy="give each class its number, 0 to num_classes - 1, as torch.int64",
        )
        return
    labels = labels.long()
    wrong = (labels < 0) | (labels >= num_classes)
    wrong &= labels != ignore_index
    if wrong.any():
        at = wrong.nonzero().flatten()[:3].tolist()
        examples = ", ".join(f"{labels[i]} at {i}" for i in at)
        yield Finding(
            "labels",
            where,
            what=f"{int(wrong.sum())} of {len(labels)} labels of {where} are outside 0 to {num_classes - 1}: {examples}",
            effect="the loss would fail on them, leave them out, or count them for another class",
            remedy="number the classes from 0, or set num_classes of the data to the largest label + 1",
        )
    missing = sorted(set(range(num_classes)) - set(labels.unique().tolist()))
    if whole and missing and not wrong.all():
        yield Finding(
            "labels",
            where,
            what=f"{len(missing)} of {num_classes} classes have no sample in {where}: {some(missing)}",
            effect="the model would never predict them, and is scored on them all the same",
            remedy="split each class in proportion (stratify), or lower num_classes of the data if there are no such classes",
        )


def check_finite(batch: Any, where: str) -> Iterator[Finding]:
    """Find inputs of a batch that are not finite."""
    for inputs in tensors(inputs_and_labels(batch)[0])[:1]:
        finite = inputs.isfinite()
        if not finite.all():
            rows = (~finite.reshape(len(inputs), -1)).any(dim=1).nonzero().flatten().tolist()
            yield Finding(
                "inputs",
                where,
                what=f"{len(rows)} of {len(inputs)} samples in a batch of {where} have NaN or infinite inputs: {some(rows)}",
                effect="one such sample makes the loss of its batch NaN, and from the next step on all weights",
                remedy="remove or fill such values when the data is made, and look for a division by a zero deviation",
            )


def check_inputs(inputs: Any, where: str) -> Iterator[Finding]:
    """Find inputs, as a model's first layer receives them, that are not finite or far from the scale it starts from."""
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.numel() < 2:
        return  # tokens are looked up, not multiplied
    if not inputs.isfinite().all():
        yield from check_finite((inputs,), where)
        return
    values = inputs.float()
    mean, std = values.mean().item(), values.std().item()
    if std > MAX_SCALE or abs(mean) > MAX_SCALE * max(std, 1.0) or std < MIN_SCALE:
        yield Finding(
            "inputs",
            where,
            what=f"inputs of {where} have mean {mean:.3g} and standard deviation {std:.3g}",
            effect="weights are initialised for inputs near mean 0 and deviation 1: training is slow or unstable",
            remedy="divide images by 255 once; subtract the mean of the training split and divide by its deviation",
            warning=True,
        )


def check_order(loader: Any, split: str) -> Iterator[Finding]:
    """Find a training loader in a fixed order, and an evaluation loader in a random one, by their samplers."""
    if not has_known_order(loader) or not hasattr(loader, "__len__") or len(loader) < 2:
        return
    sampler = sampler_of(loader)
    fixed = isinstance(sampler, SequentialSampler) or getattr(sampler, "shuffle", None) is False
    shuffled = isinstance(sampler, RandomSampler | SubsetRandomSampler) or getattr(sampler, "shuffle", None) is True
    if split == "train" and fixed:
        samples = samples_of(loader)
        yield Finding(
            "shuffling",
            split,
            what="training data is served in the same order in each epoch: its loader has no shuffle=True",
            effect="batches hold the same samples each time, of one class when the data is sorted: less is learnt",
            remedy="set shuffle=True for the training loader",
            # Another dataset may draw its samples at random and leave the index aside.
            warning=samples is None or not rows_of(samples.base),
        )
    if split != "train" and shuffled:
        yield Finding(
            "shuffling",
            split,
            what=f"{split} is served in a new random order in each pass",
            effect="what depends on the order differs from pass to pass: averages over batches, logged samples",
            remedy=f"set shuffle=False for the {split} loader; for a part of a dataset use Subset, not a random sampler",
        )


def some(values: list[Any]) -> str:
    shown = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values[:NAMED]]
    return ", ".join(shown) + (", ..." if len(values) > NAMED else "")

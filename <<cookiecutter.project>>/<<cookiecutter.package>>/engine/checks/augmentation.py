"""Augmentation differs between samples, epochs and workers in training, and is absent from evaluation."""

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from <<cookiecutter.package>>.engine.loader import SeededBatches
from <<cookiecutter.package>>.engine.survival.rng_state import rng_state, set_rng_state

from .batch import fingerprint, inputs_and_labels, tensors
from .finding import Finding
from .passes import can_tell
from .samples import has_known_order

BATCHES = 8  # drawn in each of two passes, by two processes in turn
COPIES = 8  # of one sample, in each batch
STATES = ("torch", "numpy", "python")

Draws = list[list[int]]  # fingerprint of each copy, by batch


def check_augmentation(loader: Any) -> Iterator[Finding]:
    """Load one training sample again and again, in two processes and two epochs, and compare what comes out.

    What only processes repeat is a warning with a loader that has none.
    """
    if not has_items(loader):
        return
    first, second, left, left_by_other = [], [], [], []
    with suppress(
        Exception
    ):  # the dataset cannot be sent to a process, or gives no tensors: its own loader will say so
        (_, left), (_, left_by_other) = load(loader, count=1)
        first, second = draw(loader, epoch=0), draw(loader, epoch=1)
    own = "draw from the global generators of torch, numpy or random: each process and epoch has others"
    if any(state == other for state, other in zip(left, left_by_other, strict=True)):
        yield repeated("the same for each sample: loading one sets the random state to a fixed seed", own)
    if len({copy for batch in (*first, *second) for copy in batch}) == 1:
        return  # nothing is random
    in_one, in_other = joined(first[0::2]), joined(first[1::2])
    if in_one == in_other and can_tell(in_one):
        yield repeated("the same in each process of the loader (num_workers)", own, warning=loader.num_workers == 0)
    if first == second and can_tell(joined(first)):
        yield repeated("the same in each epoch", own, warning=loader.num_workers == 0)
    if all(len(set(batch)) == 1 for batch in (*first, *second)):
        yield repeated("the same for all samples of a batch", "draw anew for each sample")


def check_evaluation_data(loader: Any, split: str) -> Iterator[Finding]:
    """Load a few samples of an evaluation split twice, from two random states."""
    if not has_items(loader):
        return
    samples = load(loader, count=min(4, len(loader.dataset)))
    half = len(samples) // 2
    differ = sum(a != b for (a, _), (b, _) in zip(samples[:half], samples[half:], strict=True))
    if differ:
        yield Finding(
            "augmentation",
            split,
            what=f"{differ} of {half} samples of {split} were others when loaded again",
            effect=f"the model is scored on randomly changed samples: scores on {split} are noisy, and mostly too low",
            remedy=f"give the {split} dataset the transform without its random parts; let only training have those",
        )


def repeated(how: str, remedy: str, warning: bool = False) -> Finding:
    return Finding(
        "augmentation",
        "train",
        what=f"random augmentation is {how}",
        effect="the model sees far fewer variants of each sample than it seems, and overfits sooner",
        remedy=remedy,
        warning=warning,
    )


def has_items(loader: Any) -> bool:
    """Say whether single samples can be asked for."""
    if not has_known_order(loader) or not hasattr(loader.dataset, "__len__") or len(loader.dataset) == 0:
        return False
    return loader.batch_size is not None or isinstance(loader.dataset, SeededBatches)


def load(loader: Any, count: int) -> list[tuple[int, list[int]]]:
    """Return the fingerprints of the first samples, loaded from two random states, and of the states they leave."""
    found, before = [], rng_state([])
    try:
        for seed in (1, 2):
            for index in range(count):
                torch.manual_seed(seed)
                np.random.seed(seed)
                random.seed(seed)
                seeded = isinstance(loader.dataset, SeededBatches)
                sample = loader.dataset[(torch.tensor([index]), (seed,)) if seeded else index]
                left = rng_state([])
                found.append((fingerprint(inputs_and_labels(sample)[0]), [fingerprint(left[name]) for name in STATES]))
    finally:
        set_rng_state(before, [])
    return found


def draw(loader: Any, epoch: int) -> Draws:
    """Return the fingerprints of the copies of one sample, drawn in batches by two processes in turn."""
    copies = [0] * COPIES
    order: dict[str, Any] = {"batch_sampler": [copies] * BATCHES}
    if isinstance(loader.dataset, SeededBatches):
        batches = [(torch.tensor(copies), (0, epoch, 0, number)) for number in range(BATCHES)]
        order = {"batch_size": None, "sampler": batches}
    probe = DataLoader(
        loader.dataset,
        num_workers=2,
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=torch.Generator().manual_seed(epoch),
        timeout=60,
        **order,
    )
    return [prints(inputs_and_labels(batch)[0]) for batch in probe]


def prints(inputs: Any) -> list[int]:
    return [fingerprint([tensor[copy] for tensor in tensors(inputs)]) for copy in range(COPIES)]


def joined(draws: Draws) -> tuple[int, ...]:
    return tuple(copy for batch in draws for copy in batch)

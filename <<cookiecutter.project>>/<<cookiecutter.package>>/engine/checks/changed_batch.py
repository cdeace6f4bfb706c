"""One batch to learn, and the same with other labels or inputs."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from .batch import LABELS

NUM_SAMPLES = 32  # of the batch that is learnt by heart


def one_batch(data: LightningDataModule) -> Any:
    """Return a batch, cut to NUM_SAMPLES samples, whose labels, if it has any, are not all the same; None if there is none."""
    loader: Any = data.train_dataloader()
    for batch in islice(loader, 10):
        sizes = {leaf.size(0) if isinstance(leaf, Tensor) and leaf.dim() else None for leaf in tree_leaves(batch)}
        if len(sizes) == 1 and None not in sizes:
            batch = tree_map(lambda leaf: leaf[:NUM_SAMPLES], batch)
        labels = labels_of(batch)
        if labels is None or len(labels.unique()) > 1:
            return batch
    return None


def labels_of(batch: Any) -> Tensor | None:
    """Return the integer labels (B,) of a batch: the last of a tuple, or what a dict calls so."""
    found = None
    if isinstance(batch, Mapping):
        found = next((batch[name] for name in LABELS if name in batch), None)
    elif isinstance(batch, tuple | list) and len(batch) > 1:
        found = batch[-1]
    is_integer = isinstance(found, Tensor) and found.dim() == 1 and not found.is_floating_point()
    return found if is_integer else None


def change(batch: Any, **changes: Callable[[Tensor], Tensor]) -> Any:
    """Return a batch with other `labels` or other `inputs`: every tensor that is not the labels."""
    labels = labels_of(batch)

    def changed(leaf: Any) -> Any:
        function = changes.get("labels" if leaf is labels else "inputs")
        return function(leaf) if function and isinstance(leaf, Tensor) and leaf.dim() else leaf

    return tree_map(changed, batch)


def without_content(inputs: Tensor) -> Tensor:
    """Return zeros; for tokens, which zero may end, the first sample again and again."""
    return torch.zeros_like(inputs) if inputs.is_floating_point() else inputs[:1].expand_as(inputs).clone()


def only_once(hook: Callable[[Any, int], Any], **changes: Callable[[Tensor], Tensor]) -> Callable[[Any, int], Any]:
    """Return a hook that gives one batch again and again: what is augmented anew each time is not learnt by heart."""
    first: list[Any] = []

    def same(batch: Any, dataloader_idx: int) -> Any:
        if not first:
            first.append(change(hook(batch, dataloader_idx), **changes))
        return copy_of(first[0])

    return same


def copy_of(batch: Any) -> Any:
    return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, batch)

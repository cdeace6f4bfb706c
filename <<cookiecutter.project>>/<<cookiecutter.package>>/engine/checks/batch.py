"""What is in a batch or a sample: inputs, labels, and a number that tells it from another one."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

LABELS = ("labels", "label", "targets", "target", "y")  # keys, in a batch that is a dict
VALUES = 4096  # of an array, evenly spread, make its fingerprint


def inputs_and_labels(batch: Any) -> tuple[Any, Any]:
    """Return the inputs, whatever they are, and the labels, None where there are none."""
    if isinstance(batch, Mapping):
        labels = next((batch[key] for key in LABELS if key in batch), None)
        return next((value for key, value in batch.items() if key not in LABELS), None), labels
    if isinstance(batch, list | tuple) and batch:
        return batch[0], batch[-1] if len(batch) > 1 else None
    return batch, None


def is_dense(value: Any) -> TypeGuard[Tensor]:
    """Say whether a value is a tensor that can be read as an array: not sparse, nested or within torch.func."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_nested:
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(value)


def tensors(value: Any) -> list[Tensor]:
    """Return the dense tensors of nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return [value] if is_dense(value) else []
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
    return [tensor for child in children for tensor in tensors(child)]


def class_labels(labels: Any) -> Tensor | None:
    """Return labels (N,) of (N,) or (N, 1); None for any other target, such as a mask, a box or several labels."""
    if not isinstance(labels, Tensor) or labels.ndim not in (1, 2) or labels.is_complex():
        return None
    return labels.detach().flatten() if labels.ndim == 1 or labels.shape[1] == 1 else None


def fingerprint(value: Any, values: int = VALUES) -> int:
    """Return a hash of nested tensors, arrays, images, numbers and strings, by so many values of each."""
    if isinstance(value, Mapping):
        return hash(tuple((key, fingerprint(child, values)) for key, child in value.items()))
    if isinstance(value, list | tuple):
        return hash(tuple(fingerprint(child, values) for child in value))
    if is_dense(value):
        flat = value.detach().flatten()
        flat = flat[:: -(-len(flat) // values) or 1].cpu()
        return hash((tuple(value.shape), (flat.float() if flat.is_floating_point() else flat).numpy().tobytes()))
    array = np.asarray(None if isinstance(value, Tensor) else value)  # a PIL image too
    if array.dtype == object:
        return hash(type(value).__name__)  # nothing is known of it
    return hash((array.shape, array.ravel()[:: -(-array.size // values) or 1].tobytes()))


def size_of(batch: Any) -> int:
    """Return the number of samples in a batch: the first dimension of its tensors, 0 if they differ in it."""
    sizes = {leaf.size(0) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.dim()}
    return sizes.pop() if len(sizes) == 1 else 0

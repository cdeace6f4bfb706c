"""Name a split, so that a run can say which samples it was trained and tested on."""

import hashlib
from collections.abc import Mapping, Sequence

from torch import Tensor


def split_sha256(splits: Mapping[str, Sequence[Tensor]]) -> str:
    """Return a hash of the content of every split: another sample, label, order or name gives another hash."""
    digest = hashlib.sha256()
    for name, tensors in splits.items():
        for tensor in tensors:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()

"""Name a split, so that a run can say which samples it was trained and tested on."""

import hashlib
from collections.abc import Mapping

from torch.utils.data import TensorDataset


def split_sha256(splits: Mapping[str, TensorDataset]) -> str:
    """Return a hash of the content of every split: another sample, label, order or name gives another hash."""
    digest = hashlib.sha256()
    for name, dataset in splits.items():
        for tensor in dataset.tensors:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()

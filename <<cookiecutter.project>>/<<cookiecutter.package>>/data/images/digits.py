"""Handwritten digits that come with scikit-learn: real data without a download.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import TensorDataset

from <<cookiecutter.package>>.data.split import draw
from <<cookiecutter.package>>.data.tensor_data import TensorData
from <<cookiecutter.package>>.engine.errors import ConfigError


class Digits(TensorData):
    """1 797 images (1, 8, 8), float32 in [0, 1], of the digits 0 to 9.

    Test is the last 360 images; validation is drawn from the rest, each class in proportion.

    Args:
        batch_size: images per step and per device.
        val_fraction: share of the training images kept for validation, between 0 and 1.
        num_workers: processes that load batches; 0 loads in the training process.
        split_seed: draws the validation images.
        seed: orders the training batches.
    """

    num_classes = 10
    input_shape = (1, 8, 8)
    class_names = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

    def __init__(
        self, batch_size: int = 32, val_fraction: float = 0.2, num_workers: int = 0, split_seed: int = 0, seed: int = 0
    ) -> None:
        if not 0 < val_fraction < 1:
            raise ConfigError(f"data.val_fraction must be between 0 and 1, got {val_fraction}")
        splits = load_splits(val_fraction, split_seed)
        super().__init__(splits, batch_size=batch_size, num_workers=num_workers, seed=seed)


def load_splits(val_fraction: float, split_seed: int) -> dict[str, TensorDataset]:
    """Return images (N, 1, 8, 8), float32 in [0, 1], and labels (N,), int64, of train, val and test."""
    package = find_spec("sklearn")  # importing it takes a second, and three where pandas is installed
    if package is None or package.origin is None:
        raise ConfigError("data=digits needs scikit-learn, which is not installed: pip install scikit-learn")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        rows = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.uint8))  # 64 pixels from 0 to 16, label
    images = (rows[:, :64] / 16).view(-1, 1, 8, 8)
    labels = rows[:, 64].long()
    test = np.arange(len(labels) - 360, len(labels))  # from other writers
    train, val = draw(labels[:-360], val_fraction, split_seed)
    splits = zip(("train", "val", "test"), (train, val, test), strict=True)
    return {name: TensorDataset(images[indices], labels[indices]) for name, indices in splits}

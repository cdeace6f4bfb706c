"""Handwritten digits that come with scikit-learn: real data without a download.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import numpy as np
import torch
from lightning import LightningDataModule
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.loader import TensorLoader
from <<cookiecutter.package>>.engine.split import split_sha256


class Digits(LightningDataModule):
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
        super().__init__()
        if batch_size < 1:
            raise ConfigError(f"data.batch_size must be at least 1, got {batch_size}")
        if not 0 < val_fraction < 1:
            raise ConfigError(f"data.val_fraction must be between 0 and 1, got {val_fraction}")
        if num_workers < 0:
            raise ConfigError(f"data.num_workers must be at least 0, got {num_workers}")
        self.loading = {"batch_size": batch_size, "num_workers": num_workers, "seed": seed}
        try:
            self.splits = load_splits(val_fraction, split_seed)
        except ValueError as error:
            raise ConfigError(f"data.val_fraction={val_fraction}, data.split_seed={split_seed}: {error}") from error
        self.split_sha256 = split_sha256(self.splits)

    def train_dataloader(self) -> DataLoader:
        return TensorLoader(self.splits["train"], shuffle=True, **self.loading)

    def val_dataloader(self) -> DataLoader:
        return TensorLoader(self.splits["val"], shuffle=False, **self.loading)

    def test_dataloader(self) -> DataLoader:
        return TensorLoader(self.splits["test"], shuffle=False, **self.loading)


def load_splits(val_fraction: float, split_seed: int) -> dict[str, TensorDataset]:
    """Return images (N, 1, 8, 8), float32 in [0, 1], and labels (N,), int64, of train, val and test."""
    digits = load_digits()
    images = torch.from_numpy(digits.images / 16).float().unsqueeze(1)  # (1797, 1, 8, 8)
    labels = torch.from_numpy(digits.target)
    rest, test = np.split(np.arange(len(labels)), [-360])  # the last 360 come from other writers
    train, val = train_test_split(rest, test_size=val_fraction, stratify=labels[rest], random_state=split_seed)
    splits = zip(("train", "val", "test"), (train, val, test), strict=True)
    return {name: TensorDataset(images[indices], labels[indices]) for name, indices in splits}

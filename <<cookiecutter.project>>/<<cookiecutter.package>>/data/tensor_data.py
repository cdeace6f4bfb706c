"""What data that fits in memory share: checked settings, and a loader for each split."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from <<cookiecutter.package>>.data.split import split_sha256
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.loader import TensorLoader, on_device


class TensorData(LightningDataModule):
    """Inputs and targets of every split, held in memory; a subclass reads them and says what they are.

    Training on a GPU they are moved there once, when they take less than half of its free memory.

    Args:
        splits: train, val and test; a dataset that takes a tensor of indices and returns one tensor of inputs (B, ...) or
            several, and targets (B,): a TensorDataset, or a Subset of one whose indices are a tensor.
        batch_size: samples per step and per device.
        eval_batch_size: samples per batch of evaluation, which keeps no gradients; None: as batch_size.
        seed: orders the training batches.
        num_workers: processes that load batches; 0 loads in the training process.
        sha256: names the content of the splits; None computes it from their tensors.
    """

    is_held = True  # False: samples are read each time, and stay where they are
    num_classes: int  # with their names, where the targets are classes: int64
    class_names: tuple[str, ...]

    def __init__(
        self,
        splits: Mapping[str, Dataset[Any]],
        *,
        batch_size: int,
        eval_batch_size: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        sha256: str | None = None,
    ) -> None:
        super().__init__()
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        for name, size in (("batch_size", batch_size), ("eval_batch_size", self.eval_batch_size)):
            if size < 1:
                raise ConfigError(f"data.{name} must be at least 1, got {size}")
        if num_workers < 0:
            raise ConfigError(f"data.num_workers must be at least 0, got {num_workers}")
        self.splits = dict(splits)
        self.loading = {"batch_size": batch_size, "num_workers": num_workers, "seed": seed}
        self.split_sha256 = sha256 or split_sha256(self.splits)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the data: which output of a classifier is which class, and how it is evaluated.

        With a block `inputs`, of a class of data/inputs.py, the checkpoint alone predicts and is exported.
        """
        names = {"class_names": list(self.class_names)} if hasattr(self, "class_names") else {}
        return names | {"eval_batch_size": self.eval_batch_size}

    def train_dataloader(self) -> DataLoader:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.loader("val", shuffle=False)

    def test_dataloader(self) -> DataLoader:
        return self.loader("test", shuffle=False)

    def predict_dataloader(self) -> DataLoader:
        """Serve the test split for `trainer.predict`; its targets are left out by the models."""
        return self.loader("test", shuffle=False)

    def loader(self, split: str, *, shuffle: bool) -> TensorLoader:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if device.type == "cuda" and self.is_held and not self.loading["num_workers"]:
            self.splits[split] = on_device(self.splits[split], device)
        size = {} if shuffle else {"batch_size": self.eval_batch_size}
        return TensorLoader(self.splits[split], shuffle=shuffle, **(self.loading | size))

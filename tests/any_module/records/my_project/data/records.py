"""Records: each sample, and each batch, is a dict."""

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """Records drawn with a seed; the label says whether the sum of the numbers is above a limit of the category."""

    def __init__(self, number: int, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        self.numbers = torch.randn(number, 6, generator=random)
        self.category = torch.randint(5, (number,), generator=random)
        self.label = (self.numbers.sum(dim=1) > self.category - 2).long()

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"numbers": self.numbers[index], "category": self.category[index], "label": self.label[index]}


class Records(LightningDataModule):
    """Rows in plain loaders of torch.

    Args:
        batch_size: rows per step.
    """

    def __init__(self, batch_size: int = 16) -> None:
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        self.train_rows, self.val_rows, self.test_rows = Rows(320, seed=0), Rows(80, seed=1), Rows(80, seed=2)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_rows, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val_rows, batch_size=self.hparams.batch_size)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test_rows, batch_size=self.hparams.batch_size)

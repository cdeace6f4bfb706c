"""Digits served in other ways, with nothing wrong."""

import torch
from my_project.data.plain import PlainDigits
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)


class Flipped(Dataset):
    """Images that are shifted at random."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, label = self.dataset[index]
        image = image.roll(int(torch.randint(-1, 2, ())), dims=-1)
        return image + 0.05 * torch.randn_like(image), label


class PlainLoader(PlainDigits):
    """DataLoaders of torch, the one for training with two processes and random augmentation."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Flipped(self.splits["train"]), batch_size=32, shuffle=True, num_workers=2, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["val"], batch_size=90)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["test"], batch_size=90)


class Augmented(PlainLoader):
    """The same in the training process."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Flipped(self.splits["train"]), batch_size=32, shuffle=True)


class Balanced(PlainLoader):
    """Rare classes are drawn more often, with replacement, and the last batch is not dropped."""

    def train_dataloader(self) -> DataLoader:
        labels = self.splits["train"].tensors[1]
        sampler = WeightedRandomSampler((1 / labels.bincount())[labels].tolist(), num_samples=len(labels))
        return DataLoader(self.splits["train"], batch_size=50, sampler=sampler)


class Stream(IterableDataset):
    """Samples as they come, in an order that is new in each pass; no length."""

    def __init__(self, dataset: TensorDataset, shuffle: bool) -> None:
        self.dataset, self.shuffle = dataset, shuffle

    def __iter__(self):
        indices = torch.randperm(len(self.dataset)) if self.shuffle else torch.arange(len(self.dataset))
        worker = get_worker_info()
        for index in indices if worker is None else indices[worker.id :: worker.num_workers]:
            yield self.dataset[index]


class Streamed(PlainDigits):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(Stream(self.splits["train"], shuffle=True), batch_size=32)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Stream(self.splits["val"], shuffle=False), batch_size=32)


class Unlabelled(PlainDigits):
    """Images alone, and nothing is said about classes."""

    num_classes = None

    def __init__(self, **loading) -> None:
        super().__init__(**loading)
        self.splits = {name: TensorDataset(dataset.tensors[0]) for name, dataset in self.splits.items()}


class Brightness(PlainDigits):
    """A number to be predicted for each image."""

    num_classes = None

    def __init__(self, **loading) -> None:
        super().__init__(**loading)
        images = {name: dataset.tensors[0] for name, dataset in self.splits.items()}
        self.splits = {name: TensorDataset(image, image.mean(dim=(1, 2, 3))) for name, image in images.items()}


class GreyValues(PlainDigits):
    """Whole numbers from 0 to 16, for an embedding."""

    def __init__(self, **loading) -> None:
        super().__init__(**loading)
        self.splits = {
            name: TensorDataset((16 * dataset.tensors[0]).long().flatten(1), dataset.tensors[1])
            for name, dataset in self.splits.items()
        }


class Standardised(PlainDigits):
    """Zero mean, unit variance, by the statistics of train; labels are bytes."""

    def __init__(self, **loading) -> None:
        super().__init__(**loading)
        images = self.splits["train"].tensors[0]
        mean, std = images.mean(), images.std()
        self.splits = {
            name: TensorDataset((dataset.tensors[0] - mean) / std, dataset.tensors[1])
            for name, dataset in self.splits.items()
        }


class Dicts(PlainDigits):
    """Batches with names."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Named(self.splits["train"]), batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Named(self.splits["val"]), batch_size=32)


class Named(Dataset):
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image, label = self.dataset[index]
        return {"image": image, "label": label}


class OwnBatches(PlainLoader):
    """The order is in a batch sampler."""

    def train_dataloader(self) -> DataLoader:
        rows = self.splits["train"]
        batches = BatchSampler(RandomSampler(rows), batch_size=32, drop_last=True)
        return DataLoader(rows, batch_sampler=batches)

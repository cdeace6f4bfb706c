"""Digits with something wrong in the data or in how it is served."""

import time
from typing import Any

import numpy as np
import torch
from my_project.data.plain import PlainDigits
from my_project.engine.loader import TensorLoader
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)


class Changed(PlainDigits):
    """Digits whose tensors `change` may replace, split by split."""

    def __init__(self, **loading: Any) -> None:
        super().__init__(**loading)
        self.splits = {
            name: TensorDataset(*self.change(name, *dataset.tensors)) for name, dataset in self.splits.items()
        }

    def change(self, split: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class LabelsFromOne(Changed):
    """Counted from 1, and one class more so that the loss accepts it: class 0 does not exist."""

    num_classes = 11

    def change(self, split, images, labels):
        return images, labels + 1


class ElevenClasses(PlainDigits):
    """One that no sample belongs to."""

    num_classes = 11


class ClassAbsentFromTrain(Changed):
    """Files sorted by class, and a split that cuts off the end."""

    def change(self, split, images, labels):
        return (images[labels < 9], labels[labels < 9]) if split == "train" else (images, labels)


class UnknownLabels(Changed):
    """-100 is passed over by the loss: these images teach nothing."""

    def change(self, split, images, labels):
        return images, labels.masked_fill(labels == 7, -100) if split == "train" else labels


class LabelsAsFloats(Changed):
    """As they come from a CSV file; a subclass of the model casts them in each step."""

    def change(self, split, images, labels):
        return images, labels.float()


class PixelsUpTo255(Changed):
    def change(self, split, images, labels):
        return 255 * images, labels


class ScaledTwice(Changed):
    """Divided by 255 as if they were not in [0, 1] already."""

    def change(self, split, images, labels):
        return images / 255 / 255, labels


class SomeNotANumber(Changed):
    """Dead pixels; the model puts zeros in their place."""

    def change(self, split, images, labels):
        return images.masked_fill(images == 0.5, float("nan")), labels


class WholeNumbers(Changed):
    """Pixels as uint8, from 0 to 255; the model casts them."""

    def change(self, split, images, labels):
        return (255 * images).to(torch.uint8), labels


class ValFromTrain(PlainDigits):
    """All are trained on, and some of them are validated on."""

    def __init__(self, **loading: Any) -> None:
        super().__init__(**loading)
        images, labels = self.splits["train"].tensors
        self.splits["val"] = TensorDataset(images[::5], labels[::5])


class TestIsVal(PlainDigits):
    def test_dataloader(self) -> DataLoader:
        return self.val_dataloader()


class CopiesBeforeTheSplit(PlainDigits):
    """A rare class is repeated, and then split: copies of one image lie on both sides."""

    def __init__(self, **loading: Any) -> None:
        super().__init__(**loading)
        images, labels = (torch.cat(tensors) for tensors in zip(*self.tensors(), strict=True))
        rare = labels == 3
        everything = TensorDataset(torch.cat([images, images[rare]]), torch.cat([labels, labels[rare]]))
        order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
        train, val = order.split([1200, len(order) - 1200])
        self.splits["train"] = TensorDataset(*everything[train])
        self.splits["val"] = TensorDataset(*everything[val])

    def tensors(self) -> list[tuple[Tensor, ...]]:
        return [self.splits["train"].tensors, self.splits["val"].tensors]


class AnotherSplitEachTime(PlainDigits):
    """random_split without a generator of its own, drawn for each loader."""

    def draw(self) -> list[Subset]:
        return random_split(ConcatDataset([self.splits["train"], self.splits["val"]]), [0.8, 0.2])

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.draw()[0], batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.draw()[1], batch_size=32)


class NotShuffled(PlainDigits):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["train"], batch_size=32)


class NotShuffledTensors(PlainDigits):
    def train_dataloader(self) -> DataLoader:
        return TensorLoader(self.splits["train"], shuffle=False, **self.loading)


class ShuffledOnce(PlainDigits):
    """One permutation, the same in every epoch."""

    def train_dataloader(self) -> DataLoader:
        order = torch.randperm(len(self.splits["train"])).tolist()
        return DataLoader(self.splits["train"], batch_size=32, sampler=order)


class SamplerThatStartsAgain(PlainDigits):
    """Reproducible, it was thought: the generator is seeded at the start of each pass."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["train"], batch_size=32, sampler=SeededAgain(self.splits["train"]))


class SeededAgain(RandomSampler):
    def __iter__(self):
        self.generator = torch.Generator().manual_seed(0)
        return super().__iter__()


class ValShuffled(PlainDigits):
    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["val"], batch_size=32, shuffle=True)


class TestShuffled(PlainDigits):
    def test_dataloader(self) -> DataLoader:
        return TensorLoader(self.splits["test"], shuffle=True, **self.loading)


class Noisy(Dataset):
    """Images with noise from a random generator of the dataset, or from torch's own."""

    def __init__(self, dataset: Dataset, rng: np.random.Generator | None = None) -> None:
        self.dataset, self.rng = dataset, rng

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, label = self.dataset[index]
        noise = torch.randn(image.shape)
        if self.rng is not None:
            noise = torch.from_numpy(self.rng.normal(size=image.shape)).float()
        return image + 0.1 * noise, label


class AugmentedValidation(PlainDigits):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(Noisy(self.splits["train"]), batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Noisy(self.splits["val"]), batch_size=32)


class OneGeneratorForAllWorkers(PlainDigits):
    """Each worker of each epoch begins with a copy of the same generator."""

    def train_dataloader(self) -> DataLoader:
        noisy = Noisy(self.splits["train"], rng=np.random.default_rng(0))
        return DataLoader(noisy, batch_size=32, shuffle=True, num_workers=2)


class OneNoiseForTheBatch(PlainDigits):
    """Drawn once per batch, and added to all of its images."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["train"], batch_size=32, shuffle=True, collate_fn=with_one_noise)


def with_one_noise(samples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    images, labels = default_collate(samples)
    return [images + 0.1 * torch.randn(images.shape[1:]), labels]


class LastValBatchDropped(PlainDigits):
    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["val"], batch_size=64, drop_last=True)


class ValWithReplacement(PlainDigits):
    """Some are counted twice and others never."""

    def val_dataloader(self) -> DataLoader:
        draw = torch.randint(len(self.splits["val"]), (len(self.splits["val"]),)).tolist()
        return DataLoader(self.splits["val"], batch_size=32, sampler=draw)


class UnequalValBatches(PlainDigits):
    """Nothing wrong: the last one is smaller, as with any plain DataLoader."""

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.splits["val"], batch_size=90)


class LabelsOfOthers(Changed):
    """Images and labels were shuffled apart."""

    def change(self, split, images, labels):
        return images, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]


class OrderWithoutSeed(PlainDigits):
    """One order, whatever the seed of the run is."""

    def train_dataloader(self) -> DataLoader:
        generator = torch.Generator().manual_seed(0)
        return DataLoader(self.splits["train"], batch_size=32, shuffle=True, generator=generator)


class Slow(PlainDigits):
    """Each image takes its time, as a large one on a slow disk does."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Sleeping(self.splits["train"]), batch_size=32, shuffle=True)


class Sleeping(Dataset):
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        time.sleep(0.002)
        return self.dataset[index]


class ValRowsDrawnByWeight(PlainDigits):
    """All rows in one dataset: the weights of those of val should be 0."""

    def train_dataloader(self) -> DataLoader:
        rows = ConcatDataset([self.splits["train"], self.splits["val"]])
        return DataLoader(rows, batch_size=32, sampler=WeightedRandomSampler(torch.ones(len(rows)), len(rows)))

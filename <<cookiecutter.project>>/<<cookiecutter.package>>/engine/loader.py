"""Serve tensors that fit in memory, a batch at a time, in an order that only (seed, epoch) decides."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset


class BatchOrder(DistributedSampler[Any]):
    """The batches of an epoch, each a tensor of indices (B,), int64, shared out among the processes.

    Shuffled (training), the order is a function of (seed, epoch) alone, all batches have `batch_size`
    samples, and the few left over are not used in that epoch. In order (evaluation), each sample is served
    exactly once, in batches that differ by one sample at most: `DistributedSampler` itself would repeat
    samples to fill up the last batch and falsify the metrics. Every process gets as many batches as the others.
    """

    def __init__(self, dataset: TensorDataset, batch_size: int, *, shuffle: bool, seed: int) -> None:
        running = distributed.is_available() and distributed.is_initialized()
        rank, world_size = (distributed.get_rank(), distributed.get_world_size()) if running else (0, 1)
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)
        self.size = len(dataset)
        self.samples_per_step = batch_size * world_size

    def __len__(self) -> int:
        if self.shuffle:
            return max(1, self.size // self.samples_per_step)
        return math.ceil(self.size / self.samples_per_step)

    def __iter__(self) -> Iterator[Tensor]:
        order = np.arange(self.size)
        if self.shuffle:  # Lightning sets self.epoch before each epoch
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
            order = order[: len(self) * self.samples_per_step]
        share = torch.from_numpy(order[self.rank :: self.num_replicas])
        yield from torch.tensor_split(share, len(self))


class TensorLoader(DataLoader[tuple[Tensor, ...]]):
    """Serve tensors of equal length; each batch is a tuple with `batch_size` rows of each.

    `options` are those of DataLoader. For `overfit_batches` and in prediction Lightning makes the loader again, with
    shuffle=False and a sampler of single samples; whole batches are drawn at once here, so that sampler is left out.
    """

    def __init__(self, dataset: TensorDataset, batch_size: int, *, shuffle: bool, seed: int, **options: Any) -> None:
        options |= {"batch_size": None, "batch_sampler": None, "persistent_workers": options.get("num_workers", 0) > 0}
        options["sampler"] = BatchOrder(dataset, batch_size, shuffle=shuffle, seed=seed)
        super().__init__(dataset=dataset, **options)

"""Serve tensors that fit in memory, a batch at a time, in an order that only (seed, epoch) decides.

The position in that order can be saved, and is where a run continues that was stopped within an epoch.
"""

import random
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset, TensorDataset, get_worker_info

from <<cookiecutter.package>>.engine.survival.signals import handle_stop


class BatchOrder(DistributedSampler[Any]):
    """The batches of an epoch, shared out among the processes: indices (B,), int64, and a seed for what is random in each.

    Shuffled (training), the order is a function of (seed, epoch) alone, all batches have `batch_size`
    samples, and the few left over are not used in that epoch. In order (evaluation), each sample is served
    exactly once, in batches that differ by one sample at most: `DistributedSampler` itself would repeat
    samples to fill up the last batch and falsify the metrics. Every process gets as many batches as the others.
    """

    def __init__(self, dataset: Any, batch_size: int, *, shuffle: bool, seed: int) -> None:
        running = distributed.is_available() and distributed.is_initialized()
        rank, world_size = (distributed.get_rank(), distributed.get_world_size()) if running else (0, 1)
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)
        self.size = len(dataset)
        self.samples_per_step = batch_size * world_size
        self.first = 0  # batch that the next pass begins with
        self.device = torch.device("cpu")  # where the samples are, and so the indices

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.samples_per_step)
        return max(1, full) if self.shuffle else full + (rest > 0)

    def __iter__(self) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
        first, self.first = self.first, 0
        order = np.arange(self.size)
        if self.shuffle:  # Lightning sets self.epoch before each epoch
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
            order = order[: len(self) * self.samples_per_step]
        share = torch.from_numpy(order[self.rank :: self.num_replicas]).to(self.device)
        for number, indices in enumerate(torch.tensor_split(share, len(self))):
            if number >= first:
                yield indices, (self.seed, self.epoch, self.rank, number)


class SeededBatches(Dataset[tuple[Tensor, ...]]):
    """A dataset whose random numbers, in a process of the loader, depend on the batch alone.

    There the position of the random state cannot be saved: the process is some batches ahead. In the training process
    nothing is seeded: its random state is saved with the run.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, batch: tuple[Tensor, tuple[int, ...]]) -> tuple[Tensor, ...]:
        indices, seed = batch
        if get_worker_info() is not None:
            numbers = np.random.SeedSequence(seed).generate_state(3)
            random.seed(int(numbers[0]))
            np.random.seed(numbers[1])
            torch.manual_seed(int(numbers[2]))
        samples = take(self.dataset, indices)
        if get_worker_info() is not None:
            for tensor in filter(torch.is_tensor, samples):
                tensor.share_memory_()  # a thread would do so later, where a full /dev/shm loses the batch without an error
        return samples


def take(dataset: Any, indices: Tensor) -> Any:
    """Return `dataset[indices]`; index_select is eight times as fast as an index in brackets, for a batch of small images."""
    if type(dataset) is Subset and isinstance(dataset.indices, Tensor):
        return take(dataset.dataset, dataset.indices.index_select(0, indices))
    if type(dataset) is TensorDataset:
        return tuple(take_rows(tensor, indices) for tensor in dataset.tensors)
    return dataset[indices]


def take_rows(tensor: Tensor, indices: Tensor) -> Tensor:
    if tensor.dim() == 4 and not tensor.is_contiguous():  # images (N, C, H, W) that lie in memory as (N, H, W, C)
        return tensor.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)
    return tensor.index_select(0, indices)


def ignore_signals(worker: int) -> None:
    """Leave it to the training process to stop: a scheduler asks all of them, and a step needs its loader to the end."""
    handle_stop(signal.SIG_IGN)


class TensorLoader(DataLoader[tuple[Tensor, ...]]):
    """Serve a dataset that takes a tensor of indices, such as TensorDataset; a batch has `batch_size` rows of each tensor.

    `options` are those of DataLoader. Samples that are on a GPU are indexed there. For `overfit_batches` and in
    prediction Lightning makes the loader again, with shuffle=False and a sampler of single samples; whole batches are
    drawn at once here, so that sampler is left out.
    """

    def __init__(self, dataset: Any, batch_size: int, *, shuffle: bool, seed: int, **options: Any) -> None:
        options |= {"batch_size": None, "batch_sampler": None, "persistent_workers": options.get("num_workers", 0) > 0}
        options["sampler"] = BatchOrder(dataset, batch_size, shuffle=shuffle, seed=seed)
        if isinstance(dataset, TensorDataset):
            options["sampler"].device = dataset.tensors[0].device
        options.setdefault("worker_init_fn", ignore_signals)
        options["generator"] = torch.Generator()  # else each pass takes a number from the global one
        super().__init__(dataset=SeededBatches(dataset), **options)
        self.position = 0  # batches of this pass that have been served

    def __iter__(self) -> Any:
        self.position, self.sampler.first = self.sampler.first, 0  # also for a pass of which nothing is left
        return self.serve()

    def serve(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of this pass from its position on."""
        self.sampler.first = self.position
        alone = self.num_workers == 0 and not self.pin_memory  # then DataLoader adds nothing but its time
        for batch in (self.dataset[indices] for indices in self.sampler) if alone else super().__iter__():
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = self.sampler.first = state["position"]


def on_device(dataset: Any, device: torch.device) -> Any:
    """Return the samples of a dataset on a GPU, or the dataset itself when they take half of the GPU's free memory or more."""
    first = dataset[torch.tensor([0])]
    free, _ = torch.cuda.mem_get_info(device)
    if first[0].device == device or len(dataset) * sum(tensor.nbytes for tensor in first) >= free / 2:
        return dataset
    return TensorDataset(*(tensor.to(device) for tensor in dataset[torch.arange(len(dataset))]))

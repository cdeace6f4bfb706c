"""What takes a pass over the data: samples in two splits, augmentation, and where the time goes."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from ..checks.data import check_shared, inputs_and_labels, loaders_of, row_hashes, served_rows
from ..checks.findings import Finding
from .report import NotApplicable
from .training import Trial, batches_of, fit, new_model

SECONDS = 5.0  # for the samples of all splits
COPIES = 8  # of one sample in a batch, and batches, by which augmentation is judged


def check_splits(data: LightningDataModule) -> Iterator[Finding]:
    """No sample is in two splits, by the content of rows in memory, or of what a dataset returns."""
    names, deadline = {}, time.perf_counter() + SECONDS
    for split in ("train", "val", "test"):
        name = f"{split}_dataloader"
        loaders = loaders_of(getattr(data, name)()) if is_overridden(name, data) else []
        found = (names_of(loader, deadline) for loader in loaders if not isinstance(loader.dataset, IterableDataset))
        names[split] = np.concatenate([np.zeros((0, 2), dtype=np.int64), *found])
    yield from check_shared(names)


def names_of(loader: DataLoader, deadline: float) -> np.ndarray:
    """Return a hash of each sample that a loader serves, and its row: (N, 2), int64."""
    if held := served_rows(loader):
        return row_hashes(held)
    dataset: Any = loader.dataset
    order = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    rows = names = np.unique(np.concatenate(list(map(np.ravel, islice(order, len(dataset))))))
    while isinstance(inner := getattr(dataset, "dataset", None), Dataset):  # below subsets and wrappers
        rows, dataset = np.asarray(dataset.indices)[rows] if isinstance(dataset, Subset) else rows, inner
    pairs = zip(rows.tolist(), names.tolist(), strict=True)
    found = [(digest(dataset[row]), name) for row, name in pairs if time.perf_counter() < deadline]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def digest(sample: Any) -> int:
    """Return a hash of the inputs of a sample: tensors, arrays, images, numbers and strings."""
    arrays = [np.asarray(leaf) for leaf in tree_leaves(inputs_and_labels(sample)[0])]
    if any(array.dtype == object for array in arrays):
        raise NotApplicable("samples are objects, which cannot be compared")
    return hash(tuple((array.shape, array.tobytes()) for array in arrays))


def check_augmentation(data: LightningDataModule) -> Iterator[Finding]:
    """Copies of a training sample, if any differ, do so in a batch, in two processes of the loader, and in two epochs."""
    loader = next(iter(loaders_of(data.train_dataloader())), None)
    if loader is None or loader.batch_size is None or isinstance(loader.dataset, IterableDataset):
        raise NotApplicable("the samples of train cannot be asked for one by one")
    options = {name: getattr(loader, name) for name in ("collate_fn", "worker_init_fn", "multiprocessing_context")}
    options |= {"batch_sampler": [[0] * COPIES] * COPIES, "num_workers": min(2, loader.num_workers)}
    one, again = (list(map(copies, DataLoader(loader.dataset, **options))) for _ in range(2))
    kinds = {copy for batch in one for copy in batch}
    repeats = len(kinds) > COPIES and (one == again or one[0::2] == one[1::2])
    is_shared = len(kinds) > 1 and all(len(set(batch)) == 1 for batch in one)
    if repeats or is_shared:
        what = "for all samples of a batch" if is_shared else "in each epoch, or in each process of the loader"
        effect = "the model sees far fewer variants of each sample than it seems, and overfits sooner"
        remedy = "draw anew for each sample, from the global generators of torch, numpy or random"
        yield Finding("augmentation", "train", f"random augmentation is the same {what}", None, remedy, effect)


def copies(batch: Any) -> list[int]:
    return [digest((row, None)) for row in tree_leaves(inputs_and_labels(batch)[0])[0]]


def check_speed(cfg: DictConfig, data: LightningDataModule, facts: dict[str, Any]) -> Iterator[Finding]:
    """The step is what takes the time, not the loader or a second thread; the facts are milliseconds for a batch."""
    loader, threads = data.train_dataloader(), torch.get_num_threads()
    load, (step, loop) = load_ms(loader), batch_ms(cfg, data, threads)
    one_thread = batch_ms(cfg, data, 1)[1] if threads > 1 else loop
    verdict = "overhead-bound" if loop > 1.5 * (step + load) else "compute-bound"
    if load > (0.8 if getattr(loader, "num_workers", 0) else 0.5) * loop:  # workers load meanwhile
        verdict = "data-bound"
        what = f"a batch takes {loop:.3g} ms, and the loader alone {load:.3g} ms"
        yield Finding("speed", "data", what, remedy="raise data.num_workers, or do less for each sample")
    if one_thread < 0.8 * loop:
        what = f"one thread is faster than {threads}: a batch takes {one_thread:.3g} ms, and {loop:.3g} ms with all"
        remedy, effect = "set threads: 1 in configs/train.yaml", "threads wait for each other"
        yield Finding("speed", "threads", what, None, remedy, effect)
    text = f"{verdict}: {loop:.3g} ms a batch, {load:.3g} to load it, {step:.3g} to train on it; threads: {threads}"
    facts |= {"verdict": verdict, "text": text, "loader": load, "loop": loop, "step": step, "threads": threads}


def load_ms(loader: Any) -> float:
    """Return the time in which a loader alone gives a batch; the first one waits for its processes to start."""
    times = [time.perf_counter() for _ in islice(batches_of(loader), 20)]
    return 1000 * (times[-1] - times[0]) / max(1, len(times) - 1)


def batch_ms(cfg: DictConfig, data: LightningDataModule, threads: int) -> tuple[float, float]:
    """Return the time of a step, from the batch to the new weights, and that from batch to batch in the Trainer's loop."""
    before, trial = torch.get_num_threads(), Trial(50)
    torch.set_num_threads(threads)
    try:
        fit(cfg, data, new_model(cfg, data), trial, max_epochs=1000)
    finally:
        torch.set_num_threads(before)
    starts, ends = 1000 * np.array(trial.times).T
    return float(np.median(ends - starts)), float(np.median(np.diff(starts)))

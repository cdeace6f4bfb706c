"""What takes a pass over the data: samples in two splits, augmentation, and where the time goes."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from <<cookiecutter.package>>.engine.checks.findings import Finding
from <<cookiecutter.package>>.engine.doctor.report import NotApplicable
from <<cookiecutter.package>>.engine.doctor.training import TARGETS, Trial, fit, new_model
from <<cookiecutter.package>>.engine.loader import SeededBatches

SECONDS = 5.0  # for the samples of all splits
NAMED = 5  # samples named in a message
FEW = 16  # numbers: samples of fewer may be equal by chance
NUM_TIMED = 50  # batches
COPIES, BATCHES = 8, 8  # of one sample in a batch, and batches, by which augmentation is judged

Loaders = dict[str, list[Any]]  # of each split


def loaders_of(data: LightningDataModule) -> Loaders:
    """Return the loaders of each split that the data has: one, or those of a list or a dict."""
    names = {"train": "train_dataloader", "val": "val_dataloader", "test": "test_dataloader"}
    loaders = {split: getattr(data, name)() for split, name in names.items() if is_overridden(name, data)}
    flat = {split: CombinedLoader(loader, "sequential").flattened for split, loader in loaders.items() if loader}
    return {split: [loader for loader in each if has_items(loader)] for split, each in flat.items()}


def has_items(loader: Any) -> bool:
    """Say whether the samples of a loader can be asked for one by one."""
    return isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset) and len(loader.dataset) > 0


def check_splits(loaders: Loaders) -> Iterator[Finding]:
    """No sample is in two splits, by the content of files, of rows in memory, or of what a dataset returns."""
    deadline = time.perf_counter() + SECONDS
    keys: dict[str, dict[int, str]] = {}
    for split, each in loaders.items():
        keys[split] = {key: name for loader in each for key, name in keys_of(loader, deadline)}
    if sum(map(bool, keys.values())) < 2:
        raise NotApplicable("the samples of two splits cannot be asked for one by one")
    for one, other in combinations(keys, 2):
        if shared := keys[one].keys() & keys[other].keys():
            pairs = [f"{one} {keys[one][key]} = {other} {keys[other][key]}" for key in list(shared)[:NAMED]]
            what = f"{len(shared)} of {len(keys[other])} samples of {other} are in {one} too: {', '.join(pairs)}"
            yield Finding("splits", f"{one}/{other}", what)


def keys_of(loader: DataLoader, deadline: float) -> Iterator[tuple[int, str]]:
    """Yield a hash of each sample that a loader serves, and its name: a file, or its row in the dataset."""
    dataset, rows = loader.dataset, served(loader)
    names = rows
    while True:
        inner = next((v for v in vars(dataset).values() if isinstance(v, Dataset) and hasattr(v, "__len__")), None)
        if isinstance(dataset, Subset):
            rows, dataset = np.asarray(dataset.indices)[rows], dataset.dataset
        elif inner is not None and len(inner) == len(dataset):
            dataset = inner
        else:
            break
    files, arrays = files_of(dataset), arrays_of(dataset)
    hashes = sum(map(hash_rows, arrays)) if arrays else None
    for name, row in zip(names.tolist(), rows.tolist(), strict=True):
        if files:
            yield hash(Path(files[row]).read_bytes()), files[row]
        else:
            yield int(hashes[row]) if hashes is not None else digest(without_target(dataset[row])), str(name)
        if time.perf_counter() > deadline:
            return


def served(loader: DataLoader) -> np.ndarray:
    """Return the rows that a loader serves in a pass, in the order of the dataset."""
    if isinstance(loader.dataset, SeededBatches):
        return np.arange(len(loader.dataset))
    batches = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    return np.unique(np.concatenate([np.ravel(batch) for batch in islice(batches, len(loader.dataset))]))


def files_of(dataset: Any) -> list[str]:
    """Return the file of each sample, if a dataset keeps them in a list, as torchvision's ImageFolder does."""
    for values in vars(dataset).values():
        if isinstance(values, list) and len(values) == len(dataset):
            files = [value[0] if isinstance(value, tuple) else value for value in values]
            if isinstance(files[0], str | Path) and Path(files[0]).is_file():
                return list(map(str, files))
    return []


def arrays_of(dataset: Any) -> list[np.ndarray]:
    """Return the inputs (N, ...) that a dataset holds in memory, but for a target."""
    if isinstance(dataset, TensorDataset):
        return [tensor.numpy(force=True) for tensor in dataset.tensors[:-1] or dataset.tensors]
    held = [value for value in vars(dataset).values() if isinstance(value, Tensor | np.ndarray) and value.ndim > 1]
    held = [value.numpy(force=True) if isinstance(value, Tensor) else value for value in held if len(value) == len(dataset)]
    return [max(held, key=lambda array: array.nbytes)] if held else []


def hash_rows(array: np.ndarray) -> np.ndarray:
    """Return a number for each row, (N,), uint64: its bytes times random numbers."""
    rows = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
    weights = np.random.default_rng(rows.shape[1]).integers(2**64, size=rows.shape[1], dtype=np.uint64)
    step = max(1, 2**20 // rows.shape[1])
    return np.concatenate([rows[start : start + step] @ weights for start in range(0, len(rows), step)])


def without_target(sample: Any) -> Any:
    if isinstance(sample, dict):
        return {name: value for name, value in sample.items() if name not in TARGETS}
    return sample[:-1] if isinstance(sample, tuple | list) and len(sample) > 1 else sample


def digest(value: Any) -> int:
    """Return a hash of nested tensors, arrays, images, numbers and strings, and of an object by its attributes."""
    if isinstance(value, dict):
        return hash(tuple((key, digest(child)) for key, child in value.items()))
    if isinstance(value, tuple | list):
        return hash(tuple(map(digest, value)))
    if isinstance(value, Tensor):
        return hash((value.shape, value.numpy(force=True).tobytes()))
    if hasattr(value, "tobytes"):
        return hash(value.tobytes())
    return digest(vars(value)) if hasattr(value, "__dict__") else hash(repr(value))


def check_augmentation(loaders: Loaders) -> Iterator[Finding]:
    """Samples of evaluation are the same when loaded again; copies of one that training loads differ, if any do."""
    looked = False
    for split, loader in ((split, loader) for split, each in loaders.items() for loader in each):
        if isinstance(loader.dataset, SeededBatches) or loader.batch_sampler is None:
            continue
        looked = True
        if split == "train":
            yield from check_random(loader)
            continue
        rows = range(min(4, len(loader.dataset)))
        one, again = ([digest(without_target(loader.dataset[row])) for row in rows] for _ in range(2))
        if one != again:
            yield Finding("augmentation", split, f"samples of {split} are others when they are loaded again")
    if not looked:
        raise NotApplicable("samples cannot be asked for one by one")


def check_random(loader: DataLoader) -> Iterator[Finding]:
    """Load one training sample again and again, in two processes if the loader has any, and twice."""
    options = {name: getattr(loader, name) for name in ("collate_fn", "worker_init_fn", "multiprocessing_context")}
    options |= {"batch_sampler": [[0] * COPIES] * BATCHES, "num_workers": min(2, loader.num_workers)}
    one, again = ([copies(batch) for batch in DataLoader(loader.dataset, **options)] for _ in range(2))
    commonest = Counter(copy for batch in one for copy in batch).most_common(1)[0][1]
    if commonest == COPIES * BATCHES:
        return  # nothing is random
    how = ""
    if all(len(set(batch)) == 1 for batch in one):
        how = "for all samples of a batch"
    elif loader.num_workers and commonest < 0.75 * COPIES * BATCHES and one[0::2] == one[1::2]:
        how = "in each process of the loader"
    elif loader.num_workers and commonest < 0.75 * COPIES * BATCHES and one == again:
        how = "in each epoch"
    if how:
        effect = "the model sees far fewer variants of each sample than it seems, and overfits sooner"
        remedy = "draw anew for each sample, from the global generators of torch, numpy or random"
        yield Finding("augmentation", "train", f"random augmentation is the same {how}", effect=effect, remedy=remedy)


def copies(batch: Any) -> list[int]:
    inputs = without_target(batch)
    tensors = [leaf for leaf in (inputs.values() if isinstance(inputs, dict) else inputs) if isinstance(leaf, Tensor)]
    return [digest([tensor[copy] for tensor in tensors]) for copy in range(COPIES)]


def check_speed(cfg: DictConfig, data: LightningDataModule, facts: dict[str, Any]) -> Iterator[Finding]:
    """Neither the loader nor a second thread is what a batch waits for; adds milliseconds for a batch to the facts."""
    loader, threads = data.train_dataloader(), torch.get_num_threads()
    times = {"loader_ms": load(loader), "threads": threads}
    try:
        for number in (threads, 1, threads, 1)[: 4 if threads > 1 else 1]:
            torch.set_num_threads(number)
            fit(cfg, data, new_model(cfg, data), trial := Trial(NUM_TIMED), max_epochs=1000)
            starts, ends = np.array(trial.times).T * 1000
            step, loop = np.median(ends - starts), np.median(np.diff(starts))
            names = ("step_ms", "loop_ms") if number == threads else ("one_thread_step_ms", "one_thread_ms")
            times |= {name: min(float(time), times.get(name, math.inf)) for name, time in zip(names, (step, loop))}
    finally:
        torch.set_num_threads(threads)
    load_ms, step_ms, loop_ms = times["loader_ms"], times["step_ms"], times["loop_ms"]
    has_workers = getattr(loader, "num_workers", 0) > 0  # they load meanwhile
    verdict = "compute-bound"
    if load_ms > (0.8 if has_workers else 0.5) * loop_ms:
        verdict = "data-bound"
    elif loop_ms > 1.5 * (step_ms + (0 if has_workers else load_ms)):
        verdict = "overhead-bound"
    text = f"{verdict}: {loop_ms:.3g} ms a batch, {load_ms:.3g} to load it and {step_ms:.3g} to train on it; {threads} thread(s)"
    facts |= {**times, "verdict": verdict, "text": text}
    if verdict == "data-bound":
        remedy = "raise data.num_workers, or do less for each sample"
        yield Finding("speed", "data", f"a batch takes {loop_ms:.3g} ms, and the loader alone {load_ms:.3g} ms", remedy=remedy)
    if (one := times.get("one_thread_ms", math.inf)) < 0.8 * loop_ms:
        what = f"a batch takes {loop_ms:.3g} ms with {threads} threads, and {one:.3g} ms with one"
        yield Finding("speed", "threads", what, remedy="set threads: 1 in configs/train.yaml")


def load(loader: Any) -> float:
    """Return the milliseconds in which a loader alone gives a batch."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + 1:
        for _ in CombinedLoader(loader, "max_size_cycle"):
            count += 1
            if time.perf_counter() > start + 1:
                break
    return 1000 * (time.perf_counter() - start) / count

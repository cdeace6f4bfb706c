"""Where the time goes: the loader alone, a bare PyTorch loop and this project's Trainer, side by side."""

import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor

from .batch import size_of
from .trial import Batches, Enough, Trial, new_model, run_trial, with_loader

ROUND, SECONDS = 0.25, 6.0  # seconds of each part of a round, and of all rounds
NUM_ROUNDS = 7  # of which the first does not count


class Rounds(Trial):
    """Within one fit: the loader alone, the bare loop, then some steps of the Trainer, again and again.

    The bare loop is what training_step, backward and step cost in PyTorch alone: the same model, optimizer and device
    batches, `self.log` silent, and no Lightning around it.

    Args:
        batches: training batches without end, other than the Trainer's.
    """

    def __init__(self, batches: Iterator[Any]) -> None:
        super().__init__(num_batches=sys.maxsize, seconds=SECONDS)
        self.batches = batches
        self.rates: dict[str, list[float]] = {"loader": [], "bare_loop": [], "trainer": []}
        self.num_samples = 0
        self.began: float | None = None

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Record no loss: reading it would wait for the GPU."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.began is not None and time.perf_counter() - self.began < ROUND:
            return
        if self.began is not None:
            self.rates["trainer"].append(self.num_samples / (now(pl_module) - self.began))
            if len(self.rates["trainer"]) == NUM_ROUNDS or (time.perf_counter() > self.deadline and batch_idx > 1):
                raise Enough
        self.rates["loader"].append(self.measure(pl_module, lambda batch, number: None))
        self.rates["bare_loop"].append(self.measure(pl_module, bare_step(trainer, pl_module)))
        self.num_samples, self.began = 0, now(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.num_samples += size_of(batch)

    def measure(self, model: LightningModule, use: Any) -> float:
        """Return samples per second of taking batches and using them."""
        num_samples, began = 0, now(model)
        for number, batch in enumerate(self.batches):
            use(batch, number)
            num_samples += size_of(batch)
            if time.perf_counter() - began > ROUND:
                break
        return num_samples / (now(model) - began)


def now(model: LightningModule) -> float:
    """Return the time when the device has done what it was asked to."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def bare_step(trainer: Trainer, model: LightningModule) -> Any:
    """Return a function that trains on one batch as one would without Lightning."""
    (optimizer,) = trainer.strategy.optimizers
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    every, limit = trainer.accumulate_grad_batches, trainer.gradient_clip_val

    def step(batch: Any, number: int) -> None:
        batch = trainer.strategy.batch_to_device(batch)

        def closure() -> Any:
            with trainer.precision_plugin.train_step_context():
                output: Any = model.training_step(batch, number)
            loss = output["loss"] if isinstance(output, dict) else output
            if loss is not None:
                (loss / every).backward()
                if limit:
                    torch.nn.utils.clip_grad_norm_(parameters, limit)
            return loss

        vars(model)["log"] = vars(model)["log_dict"] = lambda *args, **kwargs: None
        if (number + 1) % every:
            closure()
        else:
            optimizer.step(closure)
            optimizer.zero_grad()
        del vars(model)["log"], vars(model)["log_dict"]

    return step


def measure_speed(cfg: DictConfig, data: LightningDataModule) -> dict[str, Any] | None:
    """(29) Return samples per second of the three, the peak of memory in MiB, and a verdict.

    None in manual optimization, where training_step does not run outside the Trainer.
    """
    model = new_model(cfg, data)
    if not model.automatic_optimization:
        return None
    loader: Any = data.train_dataloader()
    rounds = Rounds(endless(loader))
    run_trial(cfg, with_loader(data, Batches(lambda: endless(data.train_dataloader()), 10**6)), model, rounds)
    rates = {name: round(median(values[1:] or values), 1) for name, values in rounds.rates.items()}
    memory, verdict = peak_memory(), judge(rates, getattr(loader, "num_workers", 0))
    verdict["text"] += f"; peak memory {memory:,.0f} MiB" if memory else ""
    return {**rates, "peak_memory_mib": memory, **verdict}


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def judge(rates: dict[str, float], num_workers: int) -> dict[str, str]:
    """Say what takes the time, from samples per second.

    Without workers the loader and the network take turns: more than half of the time is much. Workers load meanwhile: then
    they are too slow when they are hardly faster than training.
    """
    loading = rates["trainer"] / rates["loader"]
    if loading > (0.8 if num_workers else 0.5):
        name, advice = "data-bound", "raise data.num_workers, or do less for each sample"
    elif rates["bare_loop"] > 1.5 * rates["trainer"]:
        name, advice = "overhead-bound", "raise data.batch_size"
    else:
        name, advice = "compute-bound", "the network is what takes the time"
    numbers = "loader {loader:,.0f}, bare loop {bare_loop:,.0f}, Trainer {trainer:,.0f} samples/s".format(**rates)
    return {"verdict": name, "text": f"{name}: {numbers}; {advice}"}


def peak_memory() -> float | None:
    """Return the peak of GPU memory so far, without a GPU that of this process, in MiB; None on Windows without a GPU."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)

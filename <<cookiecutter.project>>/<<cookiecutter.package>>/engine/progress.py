"""What a run says while it trains: a bar in a terminal, and one line per epoch anywhere."""

import sys
import time
from collections.abc import Sized
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities import rank_zero_only
from torch.nn.parameter import is_lazy

from <<cookiecutter.package>>.engine.console import say

WIDTH = 80  # columns of a line


class Progress(TQDMProgressBar):
    """A bar that vanishes when training ends, and a line per epoch that stays; outside a terminal only the lines.

    Args:
        refresh_rate: batches between two updates of the bar.
    """

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stdout.isatty() else 0)

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        say(overview(trainer, pl_module))
        self.on_train_epoch_start(trainer)  # Lightning does not call it in a run that continues within an epoch

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"Epoch {trainer.current_epoch + 1}")
        self.epoch_started = time.perf_counter()
        self.val_metrics = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self.val_metrics = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("val")}

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        last = trainer.max_epochs if trainer.max_epochs not in (None, -1) else "?"
        line = f"epoch {trainer.current_epoch + 1:{len(str(last))}}/{last}"
        seconds = f"  {time.perf_counter() - self.epoch_started:.1f} s"
        split = ""
        for name, value in self.shown(trainer):
            before, _, metric = name.rpartition("/")
            word = f" {metric} {value:.4f}" if before == split else f"  {before} {metric} {value:.4f}"
            if len(line + word + seconds) <= WIDTH:
                line, split = line + word, before
        with Tqdm.external_write_mode():  # a bar moves out of the way
            print(line + seconds, flush=True)

    def shown(self, trainer: Trainer) -> list[tuple[str, float]]:
        """Return the metrics of this epoch that are one number: those of training first."""
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        hidden = ("_step", "num_samples")
        train = [(name, value) for name, value in metrics.items() if name.startswith("train")]
        val = [(name, value) for name, value in metrics.items() if name in self.val_metrics]
        return [(name, value) for name, value in train + val if not name.endswith(hidden)]


def overview(trainer: Trainer, model: LightningModule) -> str:
    """Return on one line: model, parameters and how many are trained, samples, device, precision, threads."""
    parameters = [p for p in model.parameters() if not is_lazy(p)]
    total, trained = sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)
    share = "all trained" if trained == total else f"{trained:,} trained"
    splits = getattr(trainer.datamodule, "splits", {})
    sizes = " + ".join(f"{len(split):,} {name}" for name, split in splits.items() if isinstance(split, Sized))
    threads = torch.get_num_threads()
    device = f"{trainer.world_size} x {model.device.type}" if trainer.world_size > 1 else model.device.type
    words = [f"{type(model).__name__}, {total:,} parameters ({share})", sizes, device, trainer.precision]
    return ", ".join([*filter(None, words), f"{threads} thread{'s' * (threads > 1)}"])

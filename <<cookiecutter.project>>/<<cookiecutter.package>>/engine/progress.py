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

    def on_train_start(self, *args: Any) -> None:
        super().on_train_start(*args)
        self.train_progress_bar.leave = False
        say(overview(args[0]))
        self.on_train_epoch_start(args[0])  # Lightning does not call it in a run that continues within an epoch

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
        line, split = f"epoch {trainer.current_epoch + 1:{len(str(last))}}/{last}", ""
        seconds = f"  {time.perf_counter() - self.epoch_started:.1f} s"
        for name in sorted(self.shown(trainer), key=lambda name: not name.startswith("train")):
            before, _, metric = name.rpartition("/")
            word = f"{' ' if before == split else f'  {before} '}{metric} {trainer.callback_metrics[name].item():.4f}"
            if len(line + word + seconds) <= WIDTH:
                line, split = line + word, before
        with Tqdm.external_write_mode():  # a bar moves out of the way
            print(line + seconds, flush=True)

    def shown(self, trainer: Trainer) -> list[str]:
        """Return the names of what was measured in this epoch and is one number."""
        numbers = [name for name, value in trainer.callback_metrics.items() if value.numel() == 1]
        numbers = [name for name in numbers if not name.endswith(("_step", "num_samples"))]
        return [name for name in numbers if name.startswith("train") or name in self.val_metrics]


def overview(trainer: Trainer) -> str:
    """Return on one line: model, parameters and how many are trained, samples, device, precision, threads."""
    model, threads = trainer.lightning_module, torch.get_num_threads()
    parameters = [p for p in model.parameters() if not is_lazy(p)]
    total, trained = sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)
    share = "all trained" if trained == total else f"{trained:,} trained"
    splits = getattr(trainer.datamodule, "splits", {})
    sizes = " + ".join(f"{len(split):,} {name}" for name, split in splits.items() if isinstance(split, Sized))
    device = f"{trainer.world_size} x {model.device.type}" if trainer.world_size > 1 else model.device.type
    words = [f"{type(model).__name__}, {total:,} parameters ({share})", sizes, device, trainer.precision]
    return ", ".join([*filter(None, words), f"{threads} thread{'s' * (threads > 1)}"])

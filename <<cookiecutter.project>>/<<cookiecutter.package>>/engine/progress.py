"""What a run says while it trains: a bar in a terminal, and one line per epoch anywhere."""

import sys
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities import rank_zero_only


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

    def on_train_start(self, *args: Any) -> None:
        super().on_train_start(*args)
        self.on_train_epoch_start(*args)  # Lightning does not call it in a run that continues within an epoch

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
        words = [f"epoch {trainer.current_epoch + 1:{len(str(trainer.max_epochs))}}/{trainer.max_epochs}"]
        for name, value in trainer.callback_metrics.items():
            shown = name in self.val_metrics or (name.startswith("train") and not name.endswith("_step"))
            if shown and value.numel() == 1 and not name.endswith("num_samples"):
                words.append(f"{name} {value:.4f}")
        with Tqdm.external_write_mode():  # a bar moves out of the way
            print(*words, f"{time.perf_counter() - self.epoch_started:.1f} s", sep="  ", flush=True)

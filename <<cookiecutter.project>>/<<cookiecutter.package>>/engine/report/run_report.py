"""The callback that writes report.html."""

import json
import shlex
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torchmetrics import MetricCollection

from <<cookiecutter.package>>.engine.console import say, warn
from <<cookiecutter.package>>.engine.redact import redacted
from <<cookiecutter.package>>.engine.results import split_metrics
from <<cookiecutter.package>>.engine.survival.durable_file import replacing
from <<cookiecutter.package>>.engine.survival.loops import StepCallback

from .evaluation import Evaluation
from .samples import shown

AUGMENTED = 16  # images of the first training batch that are shown


class RunReport(StepCallback):
    """Write the page of a run when it ends, however it ends.

    What the page needs beside summary.json and metrics.csv lies in a .json of its name, so that it can be written again.

    Args:
        path: of the page, in the folder of the run.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.images: list[Any] = []  # (B, C, H, W)
        self.running: Evaluation | None = None
        self.evaluation: Evaluation | None = None  # the last that came to its end
        self.phase, self.since, self.seconds = "start", time.perf_counter(), {}

    def enter(self, phase: str) -> None:
        """Count the seconds of the phase that ends, and begin another."""
        now = time.perf_counter()
        self.seconds[self.phase] = self.seconds.get(self.phase, 0) + now - self.since
        self.phase, self.since = phase, now

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if isinstance(batch, tuple | list) and len(batch) == 2 and getattr(batch[0], "ndim", 0) == 4:
            self.images = [batch[0][:AUGMENTED].detach().clone()]
        self.on_train_batch_start = None  # type: ignore[method-assign]  one is enough: Lightning does not call None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.enter("training")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.enter("the rest")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.enter("test" if trainer.testing else "validation")
        epoch = trainer.current_epoch + 1 if trainer.state.fn == "fit" else None
        split, processes = "test" if trainer.testing else "val", (trainer.global_rank, trainer.world_size)
        self.running = None if trainer.sanity_checking else Evaluation(split, epoch, *processes)

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        _, _, outputs, batch, _, *dataloader_idx = args
        if self.running and not any(dataloader_idx):
            self.running.update(outputs, batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.enter("training" if trainer.state.fn == "fit" else "the rest")
        if self.running and self.running.kept:
            self.running.gather()
            self.evaluation = self.running

    on_test_start, on_test_batch_end, on_test_end = on_validation_start, on_validation_batch_end, on_validation_end

    @rank_zero_only
    def after_run(self, trainer: Trainer) -> None:
        if not self.path.parent.exists():  # the run was refused
            return
        try:
            self.enter("report")
            self.record(trainer)
            from .page import write_page  # what draws is loaded now

            write_page(self.path)
            say(f"report   {self.path}")
        except Exception as error:  # noqa: BLE001  of whatever kind: the run itself has ended as it has
            warn(f"{self.path} could not be written ({type(error).__name__}: {error})")

    def record(self, trainer: Trainer) -> None:
        """Write what was seen, as plain data."""
        data, model = getattr(trainer, "datamodule", None), trainer.lightning_module
        images = shown(self.images, data) if self.images else []
        facts = {"command": command(), "seconds": self.seconds, "images": [image for image in images if image]}
        checks = [outcome for callback in trainer.callbacks for outcome in getattr(callback, "outcomes", [])]
        facts |= {"checks": checks, "split_sha256": getattr(data, "split_sha256", None)}
        if self.evaluation:
            measured = getattr(model, f"{(split := self.evaluation.split)}_metrics", None)
            facts |= self.evaluation.facts(data, measured if isinstance(measured, MetricCollection) else None)
            metrics = split_metrics(trainer, split).items()
            facts["metrics"] = {name: metric for name, metric in metrics if not name.startswith("train")}
        with replacing(self.path.with_suffix(".json")) as file:
            file.write(json.dumps(redacted(facts)).encode())


def command() -> str | None:
    """Return the command line of this process, if Hydra has read it."""
    if not HydraConfig.initialized():
        return None
    return shlex.join(["python", f"{HydraConfig.get().job.name}.py", *HydraConfig.get().overrides.task])

"""Predict new inputs: files to a table, with a run or with nothing but a checkpoint."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from <<cookiecutter.package>>.data.inputs import InputBatch, Inputs
from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.calibration import temperature_of
from <<cookiecutter.package>>.engine.console import be_quiet, say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.machine import set_machine
from <<cookiecutter.package>>.engine.prediction_file import PredictionFile
from <<cookiecutter.package>>.engine.recorded_run import RecordedRun
from <<cookiecutter.package>>.engine.survival.durable_file import replacing
from <<cookiecutter.package>>.engine.trained import Trained

SHOWN = 5  # classes of a sample in the terminal
ROWS = 2**14  # are written at a time


def predict(cfg: DictConfig) -> None:
    """Write, or print, what the model says of each sample of `cfg.input`."""
    be_quiet()
    run = RecordedRun(cfg.run, cfg.checkpoint, cfg.data) if cfg.run else None
    machine = OmegaConf.merge({"seed": 0, "threads": None, "matmul_precision": "high"}, run.cfg if run else {})
    precision = OmegaConf.select(machine, "trainer.precision", default="32-true")
    machine.trainer = {"_target_": "lightning.Trainer", "devices": 1, "precision": precision, **cfg.trainer}
    set_machine(machine)
    trained = run.trained if run else Trained(Path(cfg.checkpoint))
    bar = [TQDMProgressBar(refresh_rate=20)] * bool(sys.stdout.isatty() and cfg.output)
    off = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer: Trainer = build(machine.trainer, callbacks=bar, enable_progress_bar=bool(bar), **off)
    temperature = temperature_of(run, trainer.strategy.root_device) if run and cfg.calibrate else 1.0
    data = FileData(trained.inputs(), cfg.input, cfg.batch_size or trained.data_state["eval_batch_size"])
    path, top = Path(cfg.output or ""), cfg.top or (None if cfg.output else SHOWN)
    with replacing(path) if cfg.output else nullcontext() as file:
        table = Predictions(data.waiting, PredictionFile(file, path.suffix), trained.class_names, top, temperature)
        trainer.callbacks.append(table)
        trainer.predict(trained.model, datamodule=data, return_predictions=False)
        table.close()
    say(f"{table.num_samples} samples, {table.num_errors} with an error{f': {path}' if cfg.output else ''}")


class FileData(LightningDataModule):
    """What `Inputs` read, for `trainer.predict(model, datamodule=...)`; a thread reads ahead.

    Args:
        inputs: of the model's checkpoint.
        source: what the config key `input` names.
        batch_size: samples of a batch at most.
    """

    def __init__(self, inputs: Inputs, source: str | Sequence[str], batch_size: int) -> None:
        super().__init__()
        self.inputs, self.source, self.batch_size = inputs, source, batch_size
        self.waiting: deque[InputBatch] = deque()  # served, and not yet predicted

    def predict_dataloader(self) -> Iterator[tuple[Tensor, ...]]:
        batches = self.inputs.batches(self.source, self.batch_size)
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(next, batches, None)
            while batch := coming.result():
                coming = pool.submit(next, batches, None)
                self.waiting.append(batch)
                yield batch.tensors

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        prepared = self.trainer.precision_plugin.convert_input(self.inputs.prepare(*batch))
        return prepared if len(prepared) > 1 else prepared[0]


class Predictions(Callback):
    """Names what a model gives, and writes it.

    Args:
        waiting: where each batch comes from, in the order of prediction.
        file: is written to, by a thread.
        names: of the classes; empty where the outputs are numbers.
        top: how many classes of each sample; None: the probability of every class.
        temperature: by which logits are divided.
    """

    def __init__(
        self,
        waiting: deque[InputBatch],
        file: PredictionFile,
        names: Sequence[str],
        top: int | None,
        temperature: float,
    ) -> None:
        self.waiting, self.file, self.temperature = waiting, file, temperature
        self.names, self.top = np.array(names, dtype=object), min(top, len(names)) if top else None
        self.pool, self.writing = ThreadPoolExecutor(1), Future[None]()
        self.writing.set_result(None)
        self.parts: list[tuple[InputBatch, Tensor]] = []
        self.num_samples = self.num_errors = 0

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
        part = self.waiting.popleft()
        wanted = (len(part.sources), len(self.names)) if len(self.names) else (len(part.sources),)
        if not isinstance(outputs, Tensor) or outputs.shape != wanted:
            got = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ConfigError(
                f"predict.py writes outputs of shape {wanted}, got {got}: use trainer.predict for this model"
            )
        self.parts.append((part, outputs.float().cpu()))
        if self.file.file is None or sum(len(part.sources) for part, _ in self.parts) >= ROWS:
            self.flush()

    def flush(self) -> None:
        parts, self.parts = self.parts, []
        self.writing.result()  # raises what it may have raised
        self.writing = self.pool.submit(self.write, parts)

    def write(self, parts: list[tuple[InputBatch, Tensor]]) -> None:
        sources = np.concatenate([part.sources for part, _ in parts])
        starts = np.cumsum([0, *(len(part.sources) for part, _ in parts)]).tolist()
        errors = {
            start + place: why
            for start, (part, _) in zip(starts, parts, strict=False)
            for place, why in part.errors.items()
        }
        self.file.write(sources, self.columns(torch.cat([outputs for _, outputs in parts])), errors)
        self.num_samples, self.num_errors = self.num_samples + len(sources), self.num_errors + len(errors)

    def columns(self, outputs: Tensor) -> dict[str, np.ndarray]:
        """Return the column(s) (N,) of outputs (N, C), logits of classes, or (N,), numbers."""
        if not len(self.names):
            return {"value": outputs.numpy()}
        shares = (outputs / self.temperature).softmax(dim=1)
        best, places = (x.numpy() for x in shares.topk(self.top or 1))
        if not self.top:
            return {"class": self.names[places[:, 0]]} | {
                f"p_{name}": shares[:, n].numpy() for n, name in enumerate(self.names)
            }
        suffixes = ["", *(f"_{n}" for n in range(2, self.top + 1))]
        return {
            f"{key}{suffix}": x[:, n]
            for n, suffix in enumerate(suffixes)
            for key, x in (("class", self.names[places]), ("p", best))
        }

    def close(self) -> None:
        """Write what is left; where there was nothing at all, the names of the columns."""
        if not self.num_samples and not self.parts:
            nothing = InputBatch(np.empty(0, dtype=object), (), {})
            self.parts = [(nothing, torch.empty(0, len(self.names)) if len(self.names) else torch.empty(0))]
        if self.parts:
            self.flush()
        self.writing.result()
        self.file.close()

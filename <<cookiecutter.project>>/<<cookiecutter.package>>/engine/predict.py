"""Predict new inputs: files to a table, with a run or with nothing but a checkpoint."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from tqdm import tqdm

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

AHEAD = 8  # batches
BATCH = 64  # samples of one, where the data do not say
SHOWN = 5  # classes of a sample in the terminal
ROWS = 2**14  # are written at a time


def predict(cfg: DictConfig) -> None:
    """Write, or print, what the model says of each sample of `cfg.input`."""
    be_quiet()
    run = RecordedRun(cfg.run, cfg.checkpoint, cfg.data) if cfg.run else None
    machine = run.cfg if run else OmegaConf.create({"seed": 0, "threads": None, "matmul_precision": "high"})
    precision = OmegaConf.select(machine, "trainer.precision", default="32-true")
    machine.trainer = {"_target_": "lightning.Trainer", "devices": 1, "precision": precision, **cfg.trainer}
    set_machine(machine)
    trained = run.trained if run else Trained(Path(cfg.checkpoint))
    inputs, path = trained.inputs(), Path(cfg.output or "")
    trainer: Trainer = build(machine.trainer, logger=False, enable_checkpointing=False)
    temperature = temperature_of(run, trainer.strategy.root_device) if run and cfg.calibrate else 1.0
    batches = inputs.batches(cfg.input, cfg.batch_size or trained.data_state.get("eval_batch_size", BATCH))
    with (
        replacing(path) if cfg.output else nullcontext() as file,
        tqdm(unit=" samples", leave=False, disable=None if cfg.output else True) as bar,
    ):
        top = cfg.top or (None if cfg.output else SHOWN)
        table = Predictions(PredictionFile(file, path.suffix), trained.class_names, top, temperature)
        for batch, outputs in predictions(trained.model, inputs, batches, trainer):
            table.add(batch, outputs)
            bar.total = batch.total
            bar.update(len(batch.sources))
        table.close()
    where = f": {path}" if cfg.output else ""
    say(f"{table.num_samples} samples, {table.num_errors} with an error{where}")


def predictions(
    model: LightningModule, inputs: Inputs, batches: Iterator[InputBatch], trainer: Trainer
) -> Iterator[tuple[InputBatch, Any]]:
    """Yield each batch with its outputs, on the device and in the precision of a trainer; a thread reads ahead."""
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    model.trainer = trainer
    model.setup("predict")
    precision.convert_module(model).to(device)  # both in place
    with ThreadPoolExecutor(1) as pool, torch.inference_mode(), precision.predict_step_context():
        coming = pool.submit(lambda: [*islice(batches, AHEAD)])
        while part := coming.result():
            coming = pool.submit(lambda: [*islice(batches, AHEAD)])
            for batch in part:
                yield batch, model(*precision.convert_input(inputs.prepare(*(x.to(device) for x in batch.tensors))))


class Predictions:
    """Names what a model gives, and has a thread write it, many samples at a time.

    Args:
        file: is written to.
        names: of the classes; empty where the outputs are numbers.
        top: how many classes of each sample; None: the probability of every class.
        temperature: by which logits are divided.
    """

    def __init__(self, file: PredictionFile, names: Sequence[str], top: int | None, temperature: float) -> None:
        self.file, self.names, self.temperature = file, np.array(names, dtype=object), temperature
        self.top = min(top, len(names)) if top else None
        self.waiting: list[tuple[InputBatch, Tensor]] = []
        self.pool = ThreadPoolExecutor(1)
        self.writing: Future[Any] = self.pool.submit(int)
        self.num_samples = self.num_waiting = self.num_errors = 0

    def add(self, batch: InputBatch, outputs: Any) -> None:
        """Take the outputs of a batch, logits (B, C) or numbers (B,)."""
        wanted = (len(batch.sources), *[len(self.names)] * bool(len(self.names)))
        if not isinstance(outputs, Tensor) or outputs.shape != wanted:
            got = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ConfigError(f"predict.py writes outputs of shape {wanted}, got {got}: use trainer.predict")
        self.waiting.append((batch, outputs.float().cpu()))
        self.num_samples, self.num_errors = self.num_samples + wanted[0], self.num_errors + len(batch.errors)
        self.num_waiting += wanted[0]
        if self.file.file is None or self.num_waiting >= ROWS:
            self.write()

    def write(self) -> None:
        batches, outputs = zip(*self.waiting, strict=True)
        starts = np.cumsum([0, *map(len, outputs)]).tolist()
        errors = {
            n + place: why for n, batch in zip(starts, batches, strict=False) for place, why in batch.errors.items()
        }
        self.writing.result()  # raises what the thread may have raised
        sources = np.concatenate([batch.sources for batch in batches])
        self.writing = self.pool.submit(self.file.write, sources, self.columns(torch.cat(outputs)), errors)
        self.waiting, self.num_waiting = [], 0

    def columns(self, outputs: Tensor) -> dict[str, np.ndarray]:
        """Return what is known of outputs (N, C), logits of classes, or (N,), numbers: columns (N,)."""
        if not len(self.names):
            return {"value": outputs.numpy()}
        shares = (outputs / self.temperature).softmax(dim=1)
        p, places = (x.numpy() for x in shares.topk(self.top or 1))
        if self.top is None:
            every = {f"p_{name}": column for name, column in zip(self.names, shares.T.numpy(), strict=True)}
            return {"class": self.names[places[:, 0]]} | every
        named = {"class": self.names[places[:, 0]], "p": p[:, 0]}
        for n in range(1, self.top):
            named |= {f"class_{n + 1}": self.names[places[:, n]], f"p_{n + 1}": p[:, n]}
        return named

    def close(self) -> None:
        """Write the rest; where there was nothing at all, the names of the columns."""
        if not self.num_samples:
            shape = (0, *[len(self.names)] * bool(len(self.names)))
            self.add(InputBatch(np.empty(0, dtype=object), (), {}), torch.empty(shape))
        if self.waiting:
            self.write()
        self.writing.result()
        self.pool.shutdown()
        self.file.close()

"""Look at everything: a short fit under the checks of every run, then what takes longer than a run may wait."""

import math
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.build import build, check_blocks, check_values
from <<cookiecutter.package>>.engine.checks.findings import Finding
from <<cookiecutter.package>>.engine.checks.training_checks import TrainingChecks
from <<cookiecutter.package>>.engine.console import be_quiet, say
from <<cookiecutter.package>>.engine.doctor.passes import check_augmentation, check_speed, check_splits, loaders_of
from <<cookiecutter.package>>.engine.doctor.report import NotApplicable, Report
from <<cookiecutter.package>>.engine.doctor.training import OneBatch, check_seed, check_unseen, make_trainer, new_model, score
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.machine import set_machine
from <<cookiecutter.package>>.engine.provenance import versions
from <<cookiecutter.package>>.engine.results import best_checkpoint
from <<cookiecutter.package>>.engine.survival.checkpoints import load_weights
from <<cookiecutter.package>>.engine.survival.loops import use_step_callbacks
from <<cookiecutter.package>>.engine.survival.run_folder import open_run

GPU_FILES = {"/dev/nvidia0": "NVIDIA", "/dev/kfd": "AMD"}


def examine(cfg: DictConfig) -> bool:
    """Print a line for each rule, write doctor.json, and return whether something is wrong."""
    be_quiet()
    check_values(cfg)
    start = time.perf_counter()
    checks = TrainingChecks(cfg.checks, list(cfg.intended or []), cfg.checkpoint)
    checks.findings.answer, checks.findings.keep = "error", True  # whatever a run is to say, the doctor looks
    report = Report(checks.findings)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cfg.runs_dir, cfg.run_dir, cfg.name, cfg.overwrite = folder, f"{folder}/doctor", "doctor", False
        with open_run(cfg):
            try:
                look(cfg, checks, report)
            except Exception:
                say("\n\n".join(map(str, report.findings.found)))
                raise
    say(str(report))
    report.write(Path("doctor.json"), seconds=round(time.perf_counter() - start, 1), versions=versions())
    return report.is_wrong


def look(cfg: DictConfig, checks: TrainingChecks, report: Report) -> None:
    """Look at the machine, a short fit, the data, what is learnt, the seed and the speed."""
    check_blocks(cfg)
    report.ask("build", lambda: check_build(cfg.trainer.accelerator))
    set_machine(cfg)
    data = build(cfg.data)
    model = new_model(cfg, data)
    say("training for two epochs, and testing ...")
    trainer = fit_and_test(cfg, data, model, checks)
    report.ask("best", lambda: check_best(cfg, data, trainer))
    say("reading all data ...")
    loaders = loaders_of(data)
    report.ask("splits", lambda: check_splits(loaders))
    report.ask("augmentation", lambda: check_augmentation(loaders))
    say("learning one batch by heart, with its inputs and without ...")
    one_batch = OneBatch(cfg, data)
    report.ask("one_batch", one_batch.check_learnt)
    report.ask("zero_inputs", one_batch.check_zero_inputs)
    report.ask("zero_inputs", lambda: check_unseen(cfg, data, model))
    say("training with the same seed, and with another ...")
    report.ask("seed", lambda: check_seed(cfg))
    say("measuring the speed ...")
    report.ask("speed", lambda: check_speed(cfg, data, report.speed))


class StopSoon(Callback):
    """End a fit after two epochs or ten seconds; until then everything is as planned for the whole run."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.deadline = time.perf_counter() + 10

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        late = time.perf_counter() > self.deadline and trainer.fit_loop.total_batch_idx >= 20
        trainer.should_stop = trainer.should_stop or late

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or trainer.current_epoch >= 1


def fit_and_test(cfg: DictConfig, data: LightningDataModule, model: LightningModule, checks: TrainingChecks) -> Trainer:
    """Fit for two epochs of a run planned like train.py's, with the checks of every run, and test if there is a test."""
    saving = [build(cfg.callbacks.checkpoint)] if cfg.callbacks.get("checkpoint") else []
    trainer = make_trainer(cfg, *saving, checks, StopSoon())
    use_step_callbacks(trainer)
    trainer.fit(model, datamodule=data)
    best, _ = best_checkpoint(trainer)
    if cfg.test and is_overridden("test_step", model) and is_overridden("test_dataloader", data):
        if best:
            load_weights(model, best)
        trainer.test(model, datamodule=data, verbose=False)
    return trainer


def check_best(cfg: DictConfig, data: LightningDataModule, trainer: Trainer) -> Iterator[Finding]:
    """The checkpoint called best, loaded into a new model as evaluate.py does, scores what its record says."""
    best, recorded = best_checkpoint(trainer)
    if best is None or cfg.monitor not in recorded:
        raise NotApplicable("no checkpoint is the best by `monitor`")
    model = new_model(cfg, data)
    try:
        load_weights(model, best)
    except ConfigError as error:
        yield Finding("best", type(model).__name__, f"the checkpoint called best does not fit a new model: {error}")
        return
    record, scores = recorded[cfg.monitor]["value"], [score(cfg, data, model) for _ in range(2)]
    if None in scores or not math.isclose(*scores, rel_tol=1e-6):
        raise NotApplicable(f"{cfg.monitor} is not measured in validation, or is another one each time")
    if not math.isclose(scores[0], record, rel_tol=1e-3, abs_tol=1e-5):
        what = f"the checkpoint called best scores {scores[0]:.4g}, its record says {record:.4g} ({cfg.monitor})"
        yield Finding("best", type(model).__name__, what)


def check_build(accelerator: str) -> Iterator[Finding]:
    """Torch can use the GPU of the machine; not to use it on purpose, or one inside an AMD processor, is a `check`."""
    is_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    gpu = next((gpu for file, gpu in GPU_FILES.items() if Path(file).exists()), "Apple" if is_apple else None)
    if gpu and not torch.accelerator.is_available():
        may_be_meant = accelerator == "cpu" or gpu == "AMD" or "CUDA_VISIBLE_DEVICES" in os.environ
        what = f"the machine has an {gpu} GPU, and torch {torch.__version__} cannot use it"
        yield Finding("build", "torch", what, verdict="check" if may_be_meant else None)

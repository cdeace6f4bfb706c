"""Look at everything: a short fit under the checks of every run, then what takes longer than a run may wait."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.build import better, build
from <<cookiecutter.package>>.engine.checks.findings import Finding
from <<cookiecutter.package>>.engine.checks.training_checks import TrainingChecks
from <<cookiecutter.package>>.engine.console import be_quiet, say
from <<cookiecutter.package>>.engine.doctor import passes, training
from <<cookiecutter.package>>.engine.doctor.report import NotApplicable, Report
from <<cookiecutter.package>>.engine.errors import ConfigError, RuleBroken
from <<cookiecutter.package>>.engine.machine import set_machine
from <<cookiecutter.package>>.engine.results import best_checkpoint
from <<cookiecutter.package>>.engine.survival.checkpoints import load_weights
from <<cookiecutter.package>>.engine.survival.loops import use_step_callbacks
from <<cookiecutter.package>>.engine.survival.run_folder import open_run
from <<cookiecutter.package>>.engine.targets import check_blocks

GPU_FILES = {"/dev/nvidia0": "NVIDIA", "/dev/kfd": "AMD"}


def examine(cfg: DictConfig) -> bool:
    """Print a line for each rule, write doctor.json, and return whether something is wrong."""
    be_quiet()
    checks = TrainingChecks(cfg.checks, list(cfg.intended or []))
    report = Report(checks.findings)
    checks.findings.answer, checks.findings.may_stop = "keep", True
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cfg.runs_dir, cfg.run_dir, cfg.name, cfg.overwrite = folder, f"{folder}/doctor", "doctor", False
        with open_run(cfg):
            try:
                look(cfg, checks, report)
            except Exception as error:
                say("\n\n".join(map(str, report.findings.found)))
                if ("labels", "wrong") in [(finding.rule, finding.verdict) for finding in report.findings.found]:
                    raise RuleBroken(f"the labels are wrong, and then {type(error).__name__}: {error}") from error
                raise
    say(str(report))
    return report.write(Path("doctor.json"))


def look(cfg: DictConfig, checks: TrainingChecks, report: Report) -> None:
    """Look at the machine, a short fit, the data, what is learnt, the seed and the speed."""
    check_blocks(cfg)
    report.ask("build", lambda: check_build(cfg.trainer.accelerator))
    set_machine(cfg)
    data = build(cfg.data)
    model = training.new_model(cfg, data)
    cfg.mode = better(model, cfg.monitor, cfg.mode)
    say("training for two epochs, and testing ...")
    trainer = fit_and_test(cfg, data, model, checks)
    report.ask("best", lambda: check_best(cfg, data, trainer))
    report.ask("splits", lambda: passes.check_splits(data))
    report.ask("augmentation", lambda: passes.check_augmentation(data))
    one_batch = training.OneBatch(cfg, data)
    report.ask("one_batch", one_batch.check_learnt)
    report.ask("zero_inputs", one_batch.check_zeros)
    report.ask("seed", lambda: training.check_seed(cfg))
    report.ask("speed", lambda: passes.check_speed(cfg, data, report.speed))


def fit_and_test(cfg: DictConfig, data: LightningDataModule, model: LightningModule, checks: TrainingChecks) -> Trainer:
    """Fit for two epochs of a run planned like train.py's, at most 15 s, with its checks, and test if there is a test."""
    saving = [build(cfg.callbacks.checkpoint)] if cfg.callbacks.get("checkpoint") else []
    stop = LambdaCallback(on_train_epoch_end=stop_after_two_epochs)
    trainer = training.make_trainer(cfg, *saving, checks, stop, max_time={"seconds": 15})
    use_step_callbacks(trainer)
    trainer.fit(model, datamodule=data)
    if cfg.test and is_overridden("test_step", model) and is_overridden("test_dataloader", data):
        trainer.test(model, datamodule=data, verbose=False)
    return trainer


def stop_after_two_epochs(trainer: Trainer, model: LightningModule) -> None:
    trainer.should_stop = trainer.should_stop or trainer.current_epoch >= 1


def check_best(cfg: DictConfig, data: LightningDataModule, trainer: Trainer) -> Iterator[Finding]:
    """The checkpoint called best, loaded into a new model as evaluate.py does, scores what its record says."""
    best, recorded = best_checkpoint(trainer)
    if best is None or cfg.monitor not in recorded:
        raise NotApplicable(f"no checkpoint is the best by {cfg.monitor}")
    model = training.new_model(cfg, data)
    try:
        load_weights(model, best)
    except ConfigError as error:
        reason = str(error).rpartition("\n")[2].strip()
        yield Finding("best", "checkpoint", f"the checkpoint called best does not fit a new model: {reason}")
        return
    record, (score, again) = recorded[cfg.monitor]["value"], [training.score(cfg, data, model) for _ in range(2)]
    if not math.isclose(score, again, rel_tol=1e-6):
        raise NotApplicable(f"validation draws random numbers: {cfg.monitor} is another one each time")
    if not math.isclose(score, record, rel_tol=1e-3, abs_tol=1e-5):
        yield Finding("best", "checkpoint", f"the best checkpoint scores {score:.4g}, its record says {record:.4g}")


def check_build(accelerator: str) -> Iterator[Finding]:
    """Torch can use the GPU of the machine; not to use it on purpose, or one inside an AMD processor, is a `check`."""
    gpu = next((gpu for file, gpu in GPU_FILES.items() if Path(file).exists()), None)
    if gpu and not torch.accelerator.is_available():
        may_be_meant = accelerator == "cpu" or gpu == "AMD" or "CUDA_VISIBLE_DEVICES" in os.environ
        what = f"the machine has an {gpu} GPU, and torch {torch.__version__} cannot use it"
        yield Finding("build", "torch", what, "check" if may_be_meant else None)

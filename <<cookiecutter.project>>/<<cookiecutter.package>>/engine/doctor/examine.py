"""Look at everything: the checks of every run, the whole data set, what only training shows, the machine, the speed."""

import math
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning import LightningDataModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.checks.augmentation import has_items
from <<cookiecutter.package>>.engine.checks.data import check_data_whole, flat
from <<cookiecutter.package>>.engine.checks.finding import Finding, Findings
from <<cookiecutter.package>>.engine.checks.in_every_run import TrainingChecks
from <<cookiecutter.package>>.engine.checks.learning import check_learning
from <<cookiecutter.package>>.engine.checks.machine import check_build, installed_gpu
from <<cookiecutter.package>>.engine.checks.seed import check_seed
from <<cookiecutter.package>>.engine.checks.short_fit import fit_and_test, fit_block
from <<cookiecutter.package>>.engine.checks.speed import measure_speed
from <<cookiecutter.package>>.engine.checks.trial import loggers, new_model
from <<cookiecutter.package>>.engine.checks.unseen import check_unseen
from <<cookiecutter.package>>.engine.console import be_quiet, say
from <<cookiecutter.package>>.engine.doctor.report import table, write_report
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.machine import check_accelerator, set_matmul_precision, set_seed
from <<cookiecutter.package>>.engine.provenance import versions
from <<cookiecutter.package>>.engine.results import best_checkpoint
from <<cookiecutter.package>>.engine.survival.checkpoints import load_weights
from <<cookiecutter.package>>.engine.survival.run_folder import open_run
from <<cookiecutter.package>>.engine.targets import check_blocks, check_values

DATA_SECONDS = 5.0  # for the whole data set


def examine(cfg: DictConfig) -> None:
    """Look at everything, print a line for each rule and write doctor.json.

    Raises:
        SystemExit: with 1, something is wrong.
    """
    be_quiet()
    check_values(cfg)
    began = time.perf_counter()
    Findings(cfg.checks)  # raises ConfigError for a wrong value; whatever it says, the doctor looks
    checks = TrainingChecks("error", list(cfg.intended or []), cfg.checkpoint)
    findings = checks.findings
    findings.keep = True
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cfg.runs_dir, cfg.run_dir, cfg.name, cfg.overwrite = folder, f"{folder}/doctor", "doctor", False
        with open_run(cfg):
            try:
                speed = look(cfg, checks)
            except Exception:
                say("\n\n".join(map(str, findings.found)))
                raise
    say(table(findings, speed))
    seconds = round(time.perf_counter() - began, 1)
    write_report(Path("doctor.json"), findings, {"seconds": seconds, "speed": speed, "versions": versions()})
    if any(not finding.warning for finding in findings.found):
        sys.exit(1)


def look(cfg: DictConfig, checks: TrainingChecks) -> dict[str, Any] | None:
    """Run every check, and return the speed."""
    findings = checks.findings
    set_seed(cfg)
    check_blocks(cfg)
    findings.report(check_build(cfg.trainer.accelerator, installed_gpu()), "build")
    check_accelerator(cfg.trainer.accelerator)
    set_matmul_precision(cfg)
    data = build(cfg.data)
    model = new_model(cfg, data)
    say("training for two epochs, and testing ...")
    trainer = fit_and_test(cfg, data, model, checks)
    look_at_best(cfg, data, trainer, findings)
    say("reading the whole data set ...")
    look_at_data(data, findings)
    if not trainer.global_step:
        return None
    say("learning one batch by heart, with its inputs and without ...")
    learnt = check_learning(cfg, data, model)
    if "zero_inputs" in learnt:  # training uses the labels
        learnt["zero_inputs"] += check_unseen(cfg, data, model)
    say("training with the same seed, and with another ...")
    for rule, found in (learnt | check_seed(cfg)).items():
        findings.report(found, rule)
    say("measuring the speed ...")
    speed = measure_speed(cfg, data)
    findings.report([], *["speed"] * bool(speed))
    return speed


def look_at_best(cfg: DictConfig, data: LightningDataModule, trainer: Trainer, findings: Findings) -> None:
    """(24) The checkpoint called best, loaded into a new model as evaluate.py does, scores what its record says."""
    callback: Any = trainer.checkpoint_callback
    best, recorded = best_checkpoint(trainer)
    if best is None or callback.monitor is None:
        return
    model = new_model(cfg, data)
    effect = "the run reports a result that evaluate.py and whoever loads the checkpoint do not get"
    remedy = "assign every layer and buffer in __init__, and validate the weights that the checkpoint saves"
    try:
        load_weights(model, best)
    except ConfigError as error:
        what = f"best.ckpt does not fit a new model: {error}"
        findings.report([Finding("best", "callbacks.checkpoint", what, effect, remedy)], "best")
        return
    off = {"logger": loggers(cfg), "enable_checkpointing": False, "enable_progress_bar": False}
    scorer = build(fit_block(cfg), default_root_dir=cfg.run_dir, **off)
    scores = []
    for _ in range(2):
        scorer.validate(model, datamodule=data, verbose=False)
        if callback.monitor not in scorer.callback_metrics:  # it is measured in training
            return
        scores.append(scorer.callback_metrics[callback.monitor].item())
    if not math.isclose(*scores, rel_tol=1e-6):  # validation draws random numbers
        return
    score = recorded[callback.monitor]["value"]
    what = f"{callback.monitor} of best.ckpt was recorded as {score:.6g}; loaded and validated it is {scores[0]:.6g}"
    differs = not is_close(score, scores[0])
    findings.report([Finding("best", "callbacks.checkpoint", what, effect, remedy)] if differs else [], "best")


def is_close(score: float, other: float) -> bool:
    return math.isclose(score, other, rel_tol=1e-3, abs_tol=1e-5)


def look_at_data(data: LightningDataModule, findings: Findings) -> None:
    """(15) to (19), on the whole data set."""
    names = {"train": "train_dataloader", "val": "val_dataloader", "test": "test_dataloader"}
    loaders = {split: getattr(data, name)() for split, name in names.items() if is_overridden(name, data)}
    looked = {"splits": len(loaders) > 1, "augmentation": any(has_items(loader) for _, loader in flat(loaders))}
    found = check_data_whole(loaders, getattr(data, "num_classes", None), DATA_SECONDS)
    findings.report(found, *(rule for rule, applies in looked.items() if applies))

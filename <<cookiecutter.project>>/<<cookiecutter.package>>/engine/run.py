"""The main path: train a model and test it, or score it again."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.build import build, build_model
from <<cookiecutter.package>>.engine.console import be_quiet, print_end, print_result, say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.machine import set_machine
from <<cookiecutter.package>>.engine.provenance import git_state, versions
from <<cookiecutter.package>>.engine.results import best_checkpoint, split_metrics, why_stopped
from <<cookiecutter.package>>.engine.survival import checkpoints
from <<cookiecutter.package>>.engine.survival.loops import use_step_callbacks
from <<cookiecutter.package>>.engine.survival.run_folder import Run, load_run, open_run
from <<cookiecutter.package>>.engine.targets import check_blocks, check_values
from <<cookiecutter.package>>.engine.tracking import begin, tracked


def train(cfg: DictConfig) -> float | None:
    """Run what the config says, or the rest of it, or nothing if it is finished; return the best monitored score."""
    be_quiet()
    check_values(cfg)
    with open_run(cfg) as run:
        if not run.finished:
            fit_and_test(cfg, run)
    metrics = run.summary.get("metrics", {})
    print_result(metrics)
    print_end(run.summary, run.path)
    return float(metrics[cfg.monitor]["value"]) if cfg.monitor in metrics else None


def fit_and_test(cfg: DictConfig, run: Run) -> None:
    """Fit the model, test its best checkpoint, record both."""
    set_machine(cfg)
    check_blocks(cfg)
    data = build(cfg.data)
    check_split(data, run.summary)
    model = build_model(cfg, data, from_checkpoint=bool(run.checkpoint or cfg.checkpoint))
    if run.checkpoint:  # Lightning loads all of it; this says what is wrong with it
        checkpoints.check_resumable(checkpoints.load_weights(model, run.checkpoint), run.checkpoint)
        say(f"continues {run.path} from {run.checkpoint.name}")
    elif run.summary:
        say(f"{run.path} has no checkpoint: it starts again from the beginning")
    if cfg.checkpoint is not None and not run.checkpoint:
        checkpoints.load_weights(model, cfg.checkpoint)
    ids = run.summary.get("logger_ids", {})  # run_id of MLflow, id of Weights & Biases
    blocks = {name: block for name, block in cfg.logger.items() if block}
    built = {name: build(block, run_id=ids.get(name), id=ids.get(name)) for name, block in blocks.items()}
    loggers = {name: tracked(name, logger) for name, logger in built.items()}
    trainer = run.trainer = build(
        cfg.trainer,
        callbacks=[build(block) for block in cfg.callbacks.values() if block],
        logger=list(loggers.values()),
        enable_checkpointing=bool(cfg.callbacks.get("checkpoint")),
        enable_progress_bar=bool(cfg.callbacks.get("progress")),
        default_root_dir=cfg.run_dir,
    )
    use_step_callbacks(trainer)
    checkpoints.check_hyperparameters(model=model, data=data)
    sha256 = getattr(data, "split_sha256", None)
    run.start(cfg, versions=versions(), threads=torch.get_num_threads(), git=git_state(), split_sha256=sha256)
    run.record(logger_ids=begin(loggers))

    trainer.fit(model, datamodule=data, ckpt_path=run.checkpoint)
    best, metrics = best_checkpoint(trainer)
    run.record(stopped=why_stopped(trainer), best_epoch=getattr(trainer.checkpoint_callback, "best_epoch", None))
    if cfg.test:
        if best:
            checkpoints.load_weights(model, best)
        trainer.test(model, datamodule=data, verbose=False)
        metrics |= split_metrics(trainer, "test")
    checks = [outcome for callback in trainer.callbacks for outcome in getattr(callback, "outcomes", [])]
    run.record(metrics=metrics, checkpoint=best and f"checkpoints/{Path(best).name}", checks=checks)


def evaluate(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """Score a checkpoint of a run on one split of the data it was trained with; return the metrics by name."""
    be_quiet()
    check_values(cfg)
    run_cfg, summary = load_run(cfg.run)
    run_cfg.trainer.merge_with(cfg.trainer)
    set_machine(run_cfg)
    check_blocks(run_cfg)
    checkpoint = checkpoints.find_checkpoint(Path(cfg.run), cfg.checkpoint)
    data = build(run_cfg.data)
    model = build_model(run_cfg, data, from_checkpoint=True)
    checkpoints.load_weights(model, checkpoint)
    blocks = {name: run_cfg.callbacks[name] for name in ("checks", "progress") if run_cfg.callbacks.get(name)}
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": "progress" in blocks}
    trainer = build(run_cfg.trainer, callbacks=[build(block) for block in blocks.values()], **off)
    (trainer.test if cfg.split == "test" else trainer.validate)(model, datamodule=data, verbose=False)
    check_split(data, summary)
    metrics = split_metrics(trainer, cfg.split)
    print_result(metrics)
    return metrics


def check_split(data: LightningDataModule, summary: dict[str, Any]) -> None:
    """Raise ConfigError when the data is not what the run was trained with."""
    if summary.get("split_sha256") not in (None, getattr(data, "split_sha256", None)):
        raise ConfigError("data has changed since the run (split_sha256): it may have been trained on these samples")

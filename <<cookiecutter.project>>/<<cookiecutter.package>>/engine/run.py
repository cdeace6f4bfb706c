"""The main path: train a model and test it, or score it again."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from omegaconf import DictConfig, OmegaConf

from <<cookiecutter.package>>.engine.build import FROM_DATA, better, build, build_model
from <<cookiecutter.package>>.engine.console import be_quiet, print_end, print_result, say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.machine import set_machine
from <<cookiecutter.package>>.engine.provenance import git_state, versions
from <<cookiecutter.package>>.engine.results import best_checkpoint, recover, split_metrics, why_stopped
from <<cookiecutter.package>>.engine.survival import checkpoints
from <<cookiecutter.package>>.engine.survival.loops import call, use_step_callbacks
from <<cookiecutter.package>>.engine.survival.run_folder import Run, load_run, open_run
from <<cookiecutter.package>>.engine.targets import check_blocks
from <<cookiecutter.package>>.engine.tracking import begin, guarded


def train(cfg: DictConfig) -> float | None:
    """Run what the config says, or the rest of it, or nothing if it is finished; return the best monitored score."""
    be_quiet()
    with open_run(cfg) as run:
        if not run.finished:
            fit_and_test(cfg, run)
        elif run.moved:
            check_split(build(cfg.data), run.summary)
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
    state = []
    if cfg.checkpoint is not None and not run.checkpoint:
        start = checkpoints.load_weights(model, cfg.checkpoint)
        state = [checkpoints.OptimizerState(start)] * cfg.optimizer_state
    ids = run.summary.get("logger_ids", {})  # run_id of MLflow, id of Weights & Biases
    blocks = {name: block for name, block in cfg.logger.items() if block}
    loggers = [guarded(name, build(block, run_id=ids.get(name), id=ids.get(name))) for name, block in blocks.items()]
    callbacks = OmegaConf.merge(cfg, {"mode": better(model, cfg.monitor, cfg.mode)}).callbacks
    trainer = run.trainer = build(
        cfg.trainer,
        callbacks=[build(block) for block in callbacks.values() if block] + state,
        logger=loggers,
        enable_checkpointing=bool(cfg.callbacks.get("checkpoint")),
        enable_progress_bar=bool(cfg.callbacks.get("progress")),
        default_root_dir=cfg.run_dir,
    )
    use_step_callbacks(trainer)
    checkpoints.check_hyperparameters(model=model, data=data)
    facts = {name: getattr(data, name, None) for name in ("split_sha256", "class_names")}
    run.start(cfg, versions=versions(), threads=torch.get_num_threads(), git=git_state(), **facts)
    run.record(logger_ids=begin(trainer), best_step=None)

    trainer.fit(model, datamodule=data, ckpt_path=run.checkpoint)
    recover(trainer)
    path, metrics = best_checkpoint(trainer, run.scored)
    callback = trainer.checkpoint_callback if run.scored == "best" else None
    best = {key: getattr(callback, key, None) for key in ("best_epoch", "best_step")}
    run.record(stopped=why_stopped(trainer), metrics=metrics, **best)
    if path:
        checkpoints.check_best(checkpoints.load_weights(model, path, checkpoints.USE_LAST), path, run.summary)
    if cfg.test:
        trainer.callback_metrics.clear()  # ddp_spawn would return them with those of the test
        trainer.test(model, datamodule=data, verbose=False)
        metrics |= split_metrics(trainer, "test")
    checks = [outcome for callback in trainer.callbacks for outcome in getattr(callback, "outcomes", [])]
    run.record(metrics=metrics, checkpoint=path and f"checkpoints/{Path(path).name}", checks=checks)


def evaluate(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """Score a checkpoint of a run on one split of its data, or of other data; return the metrics by name."""
    be_quiet()
    run_cfg, summary = load_run(cfg.run)
    run_cfg.trainer.merge_with(cfg.trainer)
    if "_target_" in cfg.data:  # other data altogether
        run_cfg.data.clear()
    run_cfg.data.merge_with(cfg.data)
    set_machine(run_cfg)
    check_blocks(run_cfg)
    path = checkpoints.find_checkpoint(Path(cfg.run), cfg.checkpoint, summary)
    checkpoint = checkpoints.read(path, checkpoints.USE_LAST)
    if cfg.checkpoint == "best":
        checkpoints.check_best(checkpoint, path, summary)
    data = build(run_cfg.data)
    checkpoints.restore_data(data, checkpoint)
    trained = {k: v for k, v in checkpoint.get("hyper_parameters", {}).items() if k in FROM_DATA and k != "input_shape"}
    run_cfg.model.update(trained)
    model = build_model(run_cfg, data, from_checkpoint=True)
    checkpoints.copy_weights(model, checkpoint, path)
    blocks = {n: run_cfg.callbacks[n] for n in ("checks", "progress", "report") if run_cfg.callbacks.get(n)}
    if "report" in blocks:
        blocks["report"].path = f"{cfg.run}/evaluation-{cfg.split}.html"
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": "progress" in blocks}
    trainer = build(run_cfg.trainer, callbacks=[build(block) for block in blocks.values()], **off)
    (trainer.test if cfg.split == "test" else trainer.validate)(model, datamodule=data, verbose=False)
    check_split(data, summary, other=bool(cfg.data))
    call(trainer, "after_run")
    metrics = split_metrics(trainer, cfg.split)
    print_result(metrics)
    return metrics


def check_split(data: LightningDataModule, summary: dict[str, Any], *, other: bool = False) -> None:
    """Raise ConfigError when the data are not what the run was trained with; only say so when `other` data are asked for."""
    before, now = summary.get("split_sha256"), getattr(data, "split_sha256", None)
    if before == now is not None or (before is None and not other):
        return
    if not other:
        raise ConfigError(
            "data has changed since the run (split_sha256): it may have been trained on these samples. Put the former data "
            "back, begin a new run, or score the data as they are: evaluate.py with their place, as data.root=images"
        )
    are = "are not" if before else "may not be"
    say(
        f"the data {are} the run's (split_sha256 {now!s:.8}, of the run {before!s:.8}): it may have been trained on some"
    )

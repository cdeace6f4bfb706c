"""Find a checkpoint, load its weights, and make sure that it can be loaded at all."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer

from <<cookiecutter.package>>.engine.errors import ConfigError

REMEDY = "Name another one, or move it away: without its last.ckpt a run continues from its best.ckpt"
USE_LAST = "Put the right one back, or use the run's last.ckpt: checkpoint=last"


def find_checkpoint(run_dir: Path, which: str, summary: dict[str, Any]) -> Path:
    """Return the checkpoint that a run was scored with (best), its last one, or `which` when it is the path of a file."""
    scored = summary.get("checkpoint") if which == "best" else None
    for path in (run_dir / (scored or f"checkpoints/{which}.ckpt"), Path(str(which))):
        if path.is_file():
            return path
    present = ", ".join(sorted(file.stem for file in (run_dir / "checkpoints").glob("*.ckpt"))) or "none"
    raise ConfigError(f"checkpoint must be a file or one of those in {run_dir} ({present}), got {which!r}")


def load_weights(model: LightningModule, path: str | Path, remedy: str = REMEDY) -> dict[str, Any]:
    """Copy the weights of a checkpoint into a model of the same layers; return all it holds."""
    copy_weights(model, checkpoint := read(path, remedy), path)
    return checkpoint


def read(path: str | Path, remedy: str = REMEDY) -> dict[str, Any]:
    """Return what a checkpoint holds, as plain data; `remedy` ends the message when it cannot be read."""
    if not Path(path).is_file():
        raise ConfigError(f"checkpoint={path} does not exist (relative to {Path.cwd()}). {remedy}")
    try:
        with ZipFile(path) as file:
            if damaged := file.testzip():
                raise ValueError(f"{damaged} is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        _ = checkpoint["state_dict"]
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{path} cannot be read: {what_is_wrong(path)} ({reason}). {remedy}") from error
    return checkpoint


def what_is_wrong(path: str | Path) -> str:
    """Return in words why a file cannot be loaded."""
    if not os.access(path, os.R_OK):
        return "it may not be read"
    with open(path, "rb") as file:
        start = file.read(2)
    if start == b"PK" and not is_zipfile(path):  # whose list of contents is at the end
        return "it is truncated"
    return "it is damaged or no checkpoint" if start else "it is empty"


def copy_weights(model: LightningModule, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Copy the weights of a checkpoint that was read from `path` into a model of the same layers."""
    try:
        model.load_state_dict(checkpoint["state_dict"], strict=model.strict_loading)
    except RuntimeError as error:
        raise ConfigError(
            f"{path} holds the weights of another model, or for data of another shape. {REMEDY}\n{error}"
        ) from error


def check_hyperparameters(**parts: Any) -> None:
    """Raise ConfigError for the first hyperparameter of the model or the data that a checkpoint could not be loaded with."""
    for part, module in parts.items():
        for key, value in module.hparams.items():
            try:
                torch.save(value, file := BytesIO())
                file.seek(0)
                torch.load(file, weights_only=True)
            except Exception as error:
                raise ConfigError(
                    f"{part}.{key} must be numbers, strings, lists or dicts of them, to be kept in a checkpoint, got a "
                    f"{type(value).__qualname__}. Hand over what it is made from and build it in __init__, "
                    f"or leave it out: self.save_hyperparameters(ignore=[{key!r}])"
                ) from error


def check_resumable(checkpoint: dict[str, Any], path: Path) -> None:
    """Raise ConfigError when a checkpoint holds weights, but not the state of a run."""
    needed = ("pytorch-lightning_version", "loops", "optimizer_states")
    if missing := [key for key in needed if not checkpoint.get(key)]:
        raise ConfigError(f"{path} cannot be continued: it holds no {', '.join(missing)}. {REMEDY}")


def check_best(checkpoint: dict[str, Any], path: str | Path, summary: dict[str, Any]) -> None:
    """Raise ConfigError when a file is not what a run has recorded as its best checkpoint."""
    step, metrics = summary.get("best_step"), summary.get("metrics", {})
    states = checkpoint.get("callbacks", {}).values()
    scores = [state["best_model_score"] for state in states if "best_model_score" in state]
    known = [metric["value"] for metric in metrics.values()]
    if step is not None and (checkpoint.get("global_step") != step or not any(score in known for score in scores)):
        found = f"step {checkpoint.get('global_step')}, score {', '.join(map(str, scores))}"
        raise ConfigError(f"{path} ({found}) is older than the best of the run (step {step}), or another's. {USE_LAST}")


class OptimizerState(Callback):
    """Begin training with the state that an optimizer had in a checkpoint, such as its moments; its `lr` is the config's."""

    def __init__(self, checkpoint: dict[str, Any]) -> None:
        self.states = checkpoint.get("optimizer_states", [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if len(self.states) != (count := len(trainer.optimizers)):
            raise ConfigError(f"optimizer_state: the checkpoint has {len(self.states)} optimizers, not {count}")
        for optimizer, state in zip(trainer.optimizers, self.states, strict=True):
            try:
                optimizer.load_state_dict(state | {"param_groups": optimizer.state_dict()["param_groups"]})
            except (ValueError, KeyError) as error:
                raise ConfigError(f"optimizer_state: the checkpoint is of another optimizer: {error}") from error


def restore_data(data: LightningDataModule, checkpoint: dict[str, Any]) -> None:
    """Have the data encode samples and number classes as they did for a checkpoint, if they keep that."""
    state = checkpoint.get(type(data).__qualname__, {})
    if state:
        data.load_state_dict(state)
    trained = checkpoint.get("hyper_parameters", {}) | state
    for key in ("num_classes", "class_names"):
        known, found = trained.get(key), getattr(data, key, None)
        if known and found and known not in (found, list(found) if key == "class_names" else found):
            raise ConfigError(f"data has {key} {found}, but the model was trained for {known}: score it on such data")

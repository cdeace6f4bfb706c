"""Find a checkpoint, load its weights, and make sure that it can be loaded at all."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from lightning import LightningModule

from <<cookiecutter.package>>.engine.errors import ConfigError

REMEDY = "Name another one, or move it away: without its last.ckpt a run continues from its best.ckpt"


def find_checkpoint(run_dir: Path, which: str) -> Path:
    """Return `checkpoints/{which}.ckpt` of a run, or `which` itself when it is the path of a file."""
    for path in (run_dir / "checkpoints" / f"{which}.ckpt", Path(str(which))):
        if path.is_file():
            return path
    present = ", ".join(sorted(file.stem for file in (run_dir / "checkpoints").glob("*.ckpt"))) or "none"
    raise ConfigError(f"checkpoint must be a file or one of those in {run_dir} ({present}), got {which!r}")


def load_weights(model: LightningModule, path: str | Path) -> dict[str, Any]:
    """Copy the weights of a checkpoint, read as plain data, into a model of the same layers; return all it holds."""
    if not Path(path).is_file():
        raise ConfigError(f"checkpoint={path} does not exist (relative to {Path.cwd()})")
    try:
        with ZipFile(path) as file:
            if damaged := file.testzip():
                raise ValueError(f"{damaged} is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state = checkpoint["state_dict"]
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{path} cannot be read: {what_is_wrong(path)} ({reason}). {REMEDY}") from error
    try:
        model.load_state_dict(state, strict=model.strict_loading)
    except RuntimeError as error:
        raise ConfigError(f"{path} holds the weights of another model. {REMEDY}\n{error}") from error
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

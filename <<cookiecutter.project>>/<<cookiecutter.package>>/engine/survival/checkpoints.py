"""Find a checkpoint, load its weights, and make sure that it can be loaded at all."""

from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile
from zlib import crc32

import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import Checkpoint

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
        raise ConfigError(f"{path} cannot be read: it is truncated or not a checkpoint ({reason}). {remedy}") from error
    return checkpoint


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


def crc(path: str | Path) -> int:
    """Return a checksum of what a checkpoint holds, out of those that the file keeps of each tensor."""
    with ZipFile(path) as file:
        return crc32(repr([(part.filename, part.CRC) for part in file.infolist()]).encode())


def check_scored(path: Path, run_dir: Path, summary: dict[str, Any]) -> None:
    """Raise ConfigError when the file that a run was scored with is not what it was."""
    scored = run_dir / (summary.get("checkpoint") or "")
    if path.resolve() == scored.resolve() and summary.get("checkpoint_crc") not in (None, crc(path)):
        raise ConfigError(f"{path} is another file than the one whose numbers summary.json has. {USE_LAST}")


def check_best(checkpoint: dict[str, Any], path: str, callback: Checkpoint) -> None:
    """Raise ConfigError when a file is not what the callback has saved as the best."""
    keys = ("best_model_score", "best_step")
    state, known = checkpoint.get("callbacks", {}).get(callback.state_key, {}), callback.state_dict()
    if any(state.get(key) != known.get(key) for key in keys):
        found, best = (", ".join(f"{key}={part.get(key)}" for key in keys) for part in (state, known))
        raise ConfigError(f"{path} is an older file, or another run's ({found}; the run has saved {best}). {USE_LAST}")

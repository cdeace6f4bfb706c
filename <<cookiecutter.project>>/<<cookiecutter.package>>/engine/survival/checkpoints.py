"""Find a checkpoint and load its weights."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

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
        raise ConfigError(f"{path} cannot be read: it is truncated or not a checkpoint ({reason}). {REMEDY}") from error
    try:
        model.load_state_dict(state, strict=model.strict_loading)
    except RuntimeError as error:
        raise ConfigError(f"{path} holds the weights of another model. {REMEDY}\n{error}") from error
    return checkpoint


def check_resumable(checkpoint: dict[str, Any], path: Path) -> None:
    """Raise ConfigError when a checkpoint holds weights, but not the state of a run."""
    if missing := [
        key for key in ("pytorch-lightning_version", "loops", "optimizer_states") if not checkpoint.get(key)
    ]:
        raise ConfigError(f"{path} cannot be continued: it holds no {', '.join(missing)}. {REMEDY}")

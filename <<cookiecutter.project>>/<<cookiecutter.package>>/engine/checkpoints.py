"""Find a checkpoint and load its weights."""

from pathlib import Path

import torch
from lightning import LightningModule

from <<cookiecutter.package>>.engine.errors import ConfigError


def find_checkpoint(run_dir: Path, which: str) -> Path:
    """Return `checkpoints/{which}.ckpt` of a run, or `which` itself when it is the path of a file."""
    for path in (run_dir / "checkpoints" / f"{which}.ckpt", Path(str(which))):
        if path.is_file():
            return path
    present = ", ".join(sorted(file.stem for file in (run_dir / "checkpoints").glob("*.ckpt"))) or "none"
    raise ConfigError(f"checkpoint must be a file or one of those in {run_dir} ({present}), got {which!r}")


def load_weights(model: LightningModule, path: str | Path) -> None:
    """Copy the weights of a checkpoint, read as plain data, into a model of the same layers."""
    if not Path(path).is_file():
        raise ConfigError(f"checkpoint={path} does not exist (relative to {Path.cwd()})")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:
        raise ConfigError(f"checkpoint={path} cannot be read: it is truncated or of another kind. {error}") from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"checkpoint={path} holds the weights of another model. {error}") from error

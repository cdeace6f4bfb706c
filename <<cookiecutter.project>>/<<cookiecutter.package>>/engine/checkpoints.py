"""Find a checkpoint and read it as plain data."""

from pathlib import Path
from typing import Any

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


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; it holds numbers, strings, lists, dicts and tensors only."""
    if not Path(path).is_file():
        raise ConfigError(f"checkpoint={path} does not exist (relative to {Path.cwd()})")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["state_dict"]
    except Exception as error:
        raise ConfigError(f"checkpoint={path} cannot be read: it is truncated or of another kind. {error}") from error
    return checkpoint


def load_weights(model: LightningModule, path: str | Path) -> None:
    """Copy the weights of a checkpoint into a model of the same layers."""
    try:
        model.load_state_dict(read_checkpoint(path)["state_dict"])
    except RuntimeError as error:
        raise ConfigError(f"checkpoint={path} holds the weights of another model. {error}") from error

"""Save checkpoints so that the last good one survives whatever happens during a save."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from <<cookiecutter.package>>.engine.survival.durable_file import replacing


class DurableCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its target, sync it to the disk, then move it into place.

    Lightning 2.6 writes to $TMPDIR, moves the file without a sync, and passes over a PermissionError
    (https://github.com/Lightning-AI/pytorch-lightning/issues/21253 and 21800).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with replacing(Path(path)) as file:
            torch.save(checkpoint, file)

"""What a trainer has reached: why it stopped, the metrics of a split, the best checkpoint with its score."""

from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher


def recover(trainer: Trainer) -> None:
    """Restore from last.ckpt what a fit in processes of its own has reached (ddp_spawn, ddp_notebook)."""
    path = getattr(trainer.checkpoint_callback, "last_model_path", None)
    if path and Path(path).is_file() and isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"])
        for callback in trainer.callbacks:
            if state := checkpoint["callbacks"].get(callback.state_key):
                callback.load_state_dict(state)


def why_stopped(trainer: Trainer) -> str:
    """Return in words why a fit ended."""
    epochs, steps = trainer.current_epoch, trainer.global_step
    for callback in trainer.callbacks:
        if isinstance(callback, EarlyStopping) and callback.stopped_epoch:
            waited = f"{callback.monitor} had not improved for {callback.wait_count} epochs"
            return f"early stopping after epoch {callback.stopped_epoch + 1}: {waited}"
    if epochs == trainer.max_epochs:
        return f"all {epochs} epochs" if epochs > 1 else "the one epoch"
    if steps == trainer.max_steps:
        return f"trainer.max_steps={steps} in epoch {epochs}"  # Lightning counts an epoch that it cut short
    return f"a limit or a callback, after {epochs} epochs and {steps} steps"


def best_checkpoint(trainer: Trainer, which: str = "best") -> tuple[str | None, dict[str, dict[str, Any]]]:
    """Return the path of the best checkpoint, or of the last one, and its monitored score as an entry of the summary."""
    callback = trainer.checkpoint_callback
    if callback is None or callback.best_model_score is None:
        return None, {}
    name = callback.monitor
    entry = split_metrics(trainer, name.partition("/")[0]).get(name, {"num_samples": None})
    if which == "last":
        return callback.last_model_path, {name: entry} if "value" in entry else {}
    return callback.best_model_path, {name: entry | {"value": float(callback.best_model_score)}}


def split_metrics(trainer: Trainer, split: str) -> dict[str, dict[str, Any]]:
    """Return the `value` of each metric last measured on a split, and the `num_samples` behind it."""
    values = {name: value.item() for name, value in trainer.callback_metrics.items() if value.numel() == 1}
    many = getattr(trainer.lightning_module, "of_many_numbers", {})
    values |= {name: value for name, value in many.items() if name.startswith(f"{split}/")}
    counts = {name: int(values.pop(name)) for name in list(values) if name.endswith("/num_samples")}
    num_samples = counts.get(f"{split}/num_samples")
    return {name: {"value": value, "num_samples": num_samples} for name, value in values.items()}

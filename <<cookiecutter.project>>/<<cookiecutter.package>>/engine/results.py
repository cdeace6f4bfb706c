"""What a trainer has reached: why it stopped, the metrics of a split, the best checkpoint with its score."""

from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping


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


def best_checkpoint(trainer: Trainer) -> tuple[str | None, dict[str, dict[str, Any]]]:
    """Return the path of the best checkpoint, and its monitored score as an entry of the summary."""
    callback = trainer.checkpoint_callback
    if callback is None or callback.best_model_score is None:
        return None, {}
    name = callback.monitor
    entry = split_metrics(trainer, name.partition("/")[0]).get(name, {"num_samples": None})
    return callback.best_model_path, {name: entry | {"value": float(callback.best_model_score)}}


def split_metrics(trainer: Trainer, split: str) -> dict[str, dict[str, Any]]:
    """Return the `value` of each metric last measured on a split, and the `num_samples` behind it."""
    values = {name: value.item() for name, value in trainer.callback_metrics.items() if value.numel() == 1}
    num_samples = values.pop(f"{split}/num_samples", None)
    return {name: {"value": value, "num_samples": num_samples and int(num_samples)} for name, value in values.items()}

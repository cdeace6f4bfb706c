"""What a trainer has measured: the metrics of a split, and the best checkpoint with its score."""

from typing import Any

from lightning import Trainer


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

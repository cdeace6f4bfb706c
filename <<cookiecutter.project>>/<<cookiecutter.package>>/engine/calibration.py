"""Probabilities that are as often right as they say: logits divided by a temperature.

Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, 2017.
"""

import json

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.recorded_run import RecordedRun
from <<cookiecutter.package>>.engine.survival.durable_file import replacing

LEAST, MOST = 0.05, 20.0  # a validation split without a mistake would have it at 0


def temperature_of(run: RecordedRun, device: torch.device) -> float:
    """Return the temperature of a run's checkpoint, which calibration.json in its folder keeps, and say it.

    It is fitted on the validation split, at the first time.

    Raises:
        ConfigError: the model is no classifier.
    """
    path, step = run.path / "calibration.json", run.trained.checkpoint.get("global_step")
    kept = json.loads(path.read_text()) if path.is_file() else {}
    if kept.get("step") != step:
        if not run.trained.class_names:
            raise ConfigError("calibrate=true is for classes, and this run predicts numbers")
        logits, labels = run.validation(device)
        temperature = fitted(logits, labels)
        losses = [float(cross_entropy(logits / t, labels)) for t in (1.0, temperature)]
        kept = {"step": step, "temperature": temperature, "num_samples": len(labels), "val_loss": losses}
        with replacing(path) as file:
            file.write(f"{json.dumps(kept, indent=2)}\n".encode())
    before, after = kept["val_loss"]
    found = f"val loss {before:.4f} -> {after:.4f} on {kept['num_samples']} samples"
    say(f"probabilities are calibrated: temperature {kept['temperature']:.4f}, {found}")
    return kept["temperature"]


def fitted(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature at which the logits (N, C) have the least cross entropy with the labels (N,)."""
    logits, log_temperature = logits.double().clone(), torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(logits / log_temperature.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return min(max(log_temperature.exp().item(), LEAST), MOST)

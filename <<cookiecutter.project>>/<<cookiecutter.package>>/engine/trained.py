"""What a checkpoint alone is enough for: the model, what its outputs are called, and how files become its inputs."""

import inspect
from pathlib import Path
from typing import Any

from lightning import LightningModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from <<cookiecutter.package>>.data.inputs import Inputs
from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.survival import checkpoints
from <<cookiecutter.package>>.engine.targets import arguments, blocks, find


class Trained:
    """What a checkpoint holds, built from nothing but it.

    Only a LightningModule, modules, optimizers, schedulers and `Inputs` are built: a checkpoint can come from elsewhere.

    Args:
        path: of the checkpoint.
        target: the class of the model, for a checkpoint that does not name it.
    """

    def __init__(self, path: Path, target: str | None = None) -> None:
        self.path, self.checkpoint = path, checkpoints.read(path, "Name another checkpoint")
        self.hparams = dict(self.checkpoint.get("hyper_parameters", {}))
        states = (part for part in self.checkpoint.values() if isinstance(part, dict))
        self.data_state: dict[str, Any] = next((part for part in states if {"inputs", "class_names"} & part.keys()), {})
        names = self.data_state.get("class_names") or self.hparams.get("class_names")
        self.class_names = [*map(str, names or range(self.hparams.get("num_classes") or 0))]  # empty in regression
        for key, block in blocks(self.hparams, ""):
            self.find(block["_target_"], key, nn.Module, Optimizer, LRScheduler)
        target = self.checkpoint.get("model_target", target)
        if target is None:
            raise ConfigError(f"{path} does not name the class of its model, as older ones: name its run, run=")
        accepted, takes_all = arguments(self.find(target, "model_target", LightningModule))
        if missing := [k for k, p in accepted.items() if p.default is p.empty and k not in self.hparams]:
            raise ConfigError(f"{path} holds no {', '.join(missing)}: {target} must call self.save_hyperparameters()")
        block = {k: v for k, v in self.hparams.items() if takes_all or k in accepted}
        self.model: LightningModule = build({"_target_": target, **block}, recursive=False).eval()
        checkpoints.copy_weights(self.model, self.checkpoint, path)

    def find(self, target: str, key: str, *kinds: type) -> Any:
        """Return a class that the checkpoint names, or raise ConfigError unless it is of one of the kinds."""
        found = find(target, f"{self.path}, {key}: ")
        if not (inspect.isclass(found) and issubclass(found, kinds)):
            wanted = ", ".join(kind.__name__ for kind in kinds)
            raise ConfigError(f"{self.path}, {key}: {target} is no {wanted}, and is not built from a checkpoint")
        return found

    def inputs(self) -> Inputs:
        """Return what turns files into inputs of the model.

        Raises:
            ConfigError: the data of the checkpoint do not say how.
        """
        block = self.data_state.get("inputs")
        if not block:
            raise ConfigError(f"{self.path}: its data do not say how files become inputs: see data/inputs.py")
        self.find(str(block.get("_target_")), "inputs", Inputs)
        return build(block, **self.data_state)

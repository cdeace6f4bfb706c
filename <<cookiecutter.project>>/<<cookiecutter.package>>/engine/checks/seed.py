"""Is a run a function of its seed?"""

import math
from typing import Any

import torch
from lightning import LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.machine import set_seed

from .finding import Finding
from .trial import (
    Trial,
    new_model,
    run_trial,
)

SECONDS = 5.0  # of each of three short fits


class FirstSteps(Trial):
    """Record what a run begins with: a sum of each parameter and of each tensor of the first batch."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.weights = {
            name: p.detach().double().sum().item() for name, p in pl_module.named_parameters() if not is_lazy(p)
        }
        self.exact = pl_module.device.type == "cpu"  # a GPU may add in another order

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.batch = [leaf.double().sum().item() for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]


def check_seed(cfg: DictConfig) -> dict[str, list[Finding]]:
    """(27) The same seed gives the same first losses, bit for bit on a CPU; another seed gives others."""
    seed = cfg.seed
    one, again = first_steps(cfg), first_steps(cfg)
    cfg.seed = (seed + 1) % 2**32
    other = first_steps(cfg)
    cfg.seed = seed
    set_seed(cfg)
    if not one.losses or not other.losses:
        return {}
    found = []
    if not same(one, again):
        pairs = zip(one.losses, again.losses, strict=False)
        step, (a, b) = next((number, pair) for number, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
        found.append(
            Finding(
                "seed",
                first_difference(one, again),
                f"two runs with seed={seed} have losses of {a:.9g} and {b:.9g} in step {step}",
                "no result can be repeated, and a change cannot be told from chance",
                "draw random numbers from torch, numpy or random, or from a generator made with the seed of the config; "
                "do not seed with the time, and keep nothing from one run to the next",
            )
        )
    elif same(one, other) and one.weights == other.weights and one.batch == other.batch:
        found.append(
            Finding(
                "seed",
                "seed",
                f"seed={seed} and seed={(seed + 1) % 2**32} give the same weights, batch and losses",
                "runs with several seeds repeat one run: their spread says nothing about chance",
                "remove torch.manual_seed, seed_everything and generators with a fixed seed from model and data; data.seed is ${seed}",
            )
        )
    return {"seed": found}


def first_steps(cfg: DictConfig) -> FirstSteps:
    set_seed(cfg)
    data = build(cfg.data)
    steps = FirstSteps(num_batches=4, seconds=SECONDS)
    with torch.compiler.set_stance("force_eager"):
        limit = cfg.trainer.get("limit_train_batches", 1.0)
        run_trial(cfg, data, new_model(cfg, data), steps, limit_train_batches=limit)
    return steps


def same(one: FirstSteps, other: FirstSteps) -> bool:
    """Compare as many losses as both have had the time for."""
    tolerance = 0.0 if one.exact else 1e-3
    pairs = zip(one.losses, other.losses, strict=False)
    return all(math.isclose(a, b, rel_tol=tolerance) or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def first_difference(one: FirstSteps, other: FirstSteps) -> str:
    """Say where two runs part: at a parameter, in the data, or in the step."""
    for name, total in one.weights.items():
        if total != other.weights.get(name):
            return name
    return "data" if one.batch != other.batch else one.where

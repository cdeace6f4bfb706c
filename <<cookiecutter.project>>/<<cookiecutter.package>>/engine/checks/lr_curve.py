"""The learning rates that a scheduler of no stated length will give, as shares of the first one."""

import copy
import math
import warnings
from contextlib import suppress
from types import FunctionType, NoneType
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LRScheduler, StepLR

from <<cookiecutter.package>>.engine.survival.rng_state import rng_state, set_rng_state

POINTS = 200  # of a curve that is given by a formula
SIMULATED = 5000  # steps at most of a curve that is not
VANISHED = 1e-6  # of the peak

PLAIN = (int, float, str, NoneType, list, tuple, dict, FunctionType, Optimizer, LRScheduler)


def lr_curve(scheduler: Any, steps: int) -> list[float]:
    """Return learning rates from the start to the end of so many steps, evenly spaced; empty when they are not known."""
    positions = [round(steps * point / POINTS) for point in range(POINTS + 1)]
    if isinstance(scheduler, ExponentialLR):
        return [scheduler.gamma**position for position in positions]
    if isinstance(scheduler, StepLR):
        return [scheduler.gamma ** (position // scheduler.step_size) for position in positions]
    if type(scheduler).__module__ == "torch.optim.lr_scheduler" and not hasattr(scheduler, "lr_lambdas"):
        return []
    state = rng_state([])
    lrs = []
    with suppress(Exception):  # it ends before, or cannot be copied: the run itself will say so
        if isinstance(scheduler, LambdaLR):
            lrs = [max(float(factor(position)) for factor in scheduler.lr_lambdas) for position in positions]
        elif simulation := simulated(scheduler, steps):
            lrs = [simulation[position] for position in positions]
    set_rng_state(state, [])
    return lrs


def simulated(scheduler: Any, steps: int) -> list[float]:
    """Step a copy of a fresh scheduler of plain values, on an optimizer without weights."""
    if (
        steps > SIMULATED
        or scheduler.last_epoch != 0
        or not all(isinstance(v, PLAIN) for v in vars(scheduler).values())
    ):
        return []
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    optimizer.param_groups = [group | {"params": []} for group in scheduler.optimizer.param_groups]
    double = copy.deepcopy(scheduler, memo={id(scheduler.optimizer): optimizer})
    lrs = [peak_group(optimizer)]
    with warnings.catch_warnings(action="ignore"):  # no optimizer step comes before
        for _ in range(steps):
            double.step()
            lrs.append(peak_group(optimizer))
    return lrs


def peak_group(optimizer: Optimizer) -> float:
    return max(float(group["lr"]) for group in optimizer.param_groups)


def has_vanished(curve: list[float]) -> bool:
    """Say whether the learning rate is practically zero for more than half of the curve."""
    return bool(curve) and max(curve[len(curve) // 2 :]) < VANISHED * max(curve)


def is_whole(curve: list[float]) -> bool:
    """Say whether the curve goes down steadily to its end, as half a cosine or a line does, with or without a warm-up."""
    if not curve or not math.isfinite(max(curve)) or max(curve) <= 0:
        return False
    half, three_quarters, end = (curve[round(share * POINTS)] / max(curve) for share in (0.5, 0.75, 1))
    return 0.4 < half < 0.9 and 0.12 < three_quarters < 0.45 and end < 0.12

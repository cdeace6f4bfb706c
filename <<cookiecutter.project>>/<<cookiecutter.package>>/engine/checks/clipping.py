"""(14) Clipping sees gradients that are not scaled, after backward and before step."""

import math
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import nn

from .finding import Finding, owner_frame, place
from .tracer import Tracer


def watch_clipping(watch: Any, tracer: Tracer) -> None:
    """Have a StepWatch see when gradients are clipped, and scaled for mixed precision."""
    for clip in (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_):
        tracer.watch(clip, returned=lambda frame, _: clipped(watch, frame))
    tracer.watch(torch.amp.GradScaler.scale, partial(scales, watch))
    tracer.watch(torch.amp.GradScaler.unscale_, partial(unscales, watch))


def scales(watch: Any, frame: FrameType) -> None:
    watch.scaled = frame.f_locals["self"].is_enabled()
    watch.unscaled.clear()


def unscales(watch: Any, frame: FrameType) -> None:
    watch.unscaled |= {id(p) for group in frame.f_locals["optimizer"].param_groups for p in group["params"]}


def clipped(watch: Any, frame: FrameType) -> None:
    """Called when the gradients of some parameters have been clipped."""
    if frame.f_locals.get("max_norm") == math.inf:
        return  # it only measures
    watch.note_cleared()
    given = frame.f_locals.get("parameters")
    keys = {id(p) for p in given} & watch.owner.keys() if isinstance(given, list) else set(watch.owner)
    pending = {key: watch.pending[key] for key in keys if watch.pending[key]}
    where = place(owner_frame(frame))
    if not where or (watch.module.automatic_optimization and called_by_lightning(frame)):
        return
    if watch.overflown & {watch.owner[key] for key in keys}:
        return  # the step is left out
    if not any(numbers - watch.used[watch.owner[key]] for key, numbers in pending.items()):
        finding = Finding(
            "clipping",
            where,
            f"gradients are clipped {'after the step that used them' if pending else 'before backward has made any'}",
            "the optimizer steps with gradients of any size, as if they were not clipped",
            "clip between backward and step: zero_grad, backward, clip, step",
        )
        if pending:
            watch.findings.append(finding)
        else:
            watch.clip = finding
    elif watch.scaled and not keys & watch.unscaled:
        watch.findings.append(scaled("gradients are clipped while they are scaled for mixed precision", where))


def called_by_lightning(frame: FrameType | None) -> bool:
    """Say whether a function of torch was called from Lightning."""
    while frame is not None and "/torch/" in frame.f_code.co_filename.replace("\\", "/"):
        frame = frame.f_back
    return frame is not None and "lightning" in frame.f_globals.get("__name__", "")


def scaled(what: str, where: str) -> Finding:
    return Finding(
        "clipping",
        where or "training_step",
        what,
        "the scale, 65 536 at first, counts as part of their size: the update is far too small or far too large",
        "call scaler.unscale_(optimizer) before clipping, and scaler.step(optimizer) instead of optimizer.step()",
    )

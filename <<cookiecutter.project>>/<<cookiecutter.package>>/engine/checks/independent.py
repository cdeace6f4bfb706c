"""Does sample i of a batch influence only output i? And is an evaluated model random?"""

import random
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from <<cookiecutter.package>>.engine.survival.rng_state import rng_state, set_rng_state

from .batch import is_dense
from .calls import CallWatch
from .finding import Finding, definition

ENOUGH = 8  # samples
HOLDERS = (list, dict, set, deque)
OWN = {*vars(nn.Module()), *vars(LightningModule())}  # attributes that are not the owner's


def check_independent(trainer: Trainer, model: LightningModule, calls: CallWatch) -> Iterator[Finding]:
    """(6) In eval mode, sample i of a batch influences only output i."""
    entry, size = calls.entry, calls.batch_size
    if entry is None or size < 2 or not any(is_rows(leaf, size) for leaf in tree_leaves((entry.args, entry.kwargs))):
        return
    arguments = few_samples(calls)
    size = min(size, ENOUGH)
    half = size // 2
    kept = [(slice(None, half), slice(None, size - half)), (slice(-half, None), slice(half - size, None))]
    with suppress(Exception), undisturbed(trainer, model, entry.module) as call:  # it may not like such a batch
        right = call(*arguments).outputs
        if all(made.dim() > 1 and made.size(1) == size for _, made in right):
            return  # it compares each sample with each
        for rows, source in kept:  # the first half beside itself, then the second half

            def mixed(value: Any, source: slice = source, rows: slice = rows) -> Any:
                if not is_rows(value, size):
                    return value
                parts = [value[rows], value[source]]
                return torch.cat(parts if rows.stop else parts[::-1])

            others = tree_map(mixed, arguments)
            if not leaks(right, call(*others).outputs, rows, size):
                continue
            again, other = call(*arguments, inside=True), call(*others, inside=True)
            if not torch.equal(right[-1][1], again.outputs[-1][1]):
                return  # random in eval mode
            yield Finding(
                "independent",
                culprit(again, other, rows, size) or definition(entry.module, "forward"),
                "the outputs of some samples change when other samples of the batch do",
                "a prediction depends on which samples happen to be in the same batch, at training and afterwards",
                "look for view or reshape where permute or transpose is meant, for batch_first=True, "
                "and for a softmax, mean or norm over dim 0",
            )
            return


def few_samples(calls: CallWatch) -> Any:
    """Return the arguments, positional and named, of the call that was watched, for its first samples."""
    assert calls.entry is not None
    whole = calls.entry.args, calls.entry.kwargs
    return tree_map(lambda leaf: leaf[:ENOUGH] if is_rows(leaf, calls.batch_size) else leaf, whole)


@dataclass
class Trace:
    """What went through the modules inside of a call, if that was asked for, and then the call itself: path and tensor."""

    inputs: list[tuple[str, Tensor]]
    outputs: list[tuple[str, Tensor]]


def leaks(right: list[tuple[str, Tensor]], other: list[tuple[str, Tensor]], rows: slice, size: int) -> bool:
    """Say whether rows that should be equal are not, in tensors with one row for each sample."""
    for (_, a), (_, b) in zip(right, other, strict=False):
        if is_rows(a, size) and a.is_floating_point() and a.shape == b.shape:
            tolerance = 1e-4 if torch.finfo(a.dtype).bits >= 32 else 1e-2
            scale = a.float().std() + a.float().abs().mean() * 1e-2
            if (a[rows].float() - b[rows].float()).abs().max() > tolerance * scale:
                return True
    return False


def culprit(right: Trace, other: Trace, rows: slice, size: int) -> str:
    """Return the path of the first module that mixes samples: in what it puts out, not in what it is given."""
    for number, (path, _) in enumerate(right.outputs):
        one = slice(number, number + 1)
        mixed = leaks(right.outputs[one], other.outputs[one], rows, size)
        if path and mixed and not leaks(right.inputs[one], other.inputs[one], rows, size):
            return path
    return ""


@contextmanager
def undisturbed(trainer: Trainer, model: LightningModule, module: nn.Module) -> Iterator[Any]:
    """Give a function that calls a module in eval mode; modes, buffers, attributes and random states stay as they are."""
    parts = {m for root in (model, module) for m in root.modules()}
    attributes = {m: (dict(vars(m)), dict(m._buffers)) for m in parts}
    values = {b: b.clone() for m in parts for b in m.buffers(recurse=False)}
    held = [value for m in parts for name, value in vars(m).items() if isinstance(value, HOLDERS) and name not in OWN]
    contents = [(value, value.copy()) for value in held]
    state = rng_state([])

    def restore() -> None:
        set_rng_state(state, [])
        for value, content in contents:
            value.clear()
            value.extend(content) if isinstance(value, list | deque) else value.update(content)
        for m, (plain, buffers) in attributes.items():
            vars(m).clear()
            vars(m).update(plain)
            m._buffers.clear()
            m._buffers.update(buffers)
        with torch.no_grad():
            for buffer, value in values.items():
                buffer.copy_(value)

    def call(args: Any, kwargs: Any, *, seed: int = 0, inside: bool = False) -> Trace:
        restore()
        if seed:
            torch.manual_seed(torch.initial_seed() + seed)
            np.random.seed(seed)
            random.seed(seed)
        for m in parts:
            vars(m)["training"] = False
        vars(model)["log"] = vars(model)["log_dict"] = lambda *args, **kwargs: None
        trace = Trace([], [])

        def keep(path: str) -> Any:
            def hook(_: nn.Module, inputs: Any, output: Any) -> None:
                given, made = (first_tensor(value) for value in (inputs, output))
                if given is not None and made is not None:
                    trace.inputs.append((path, given))
                    trace.outputs.append((path, made))

            return hook

        names = {m: name for name, m in model.named_modules() if m is not model and m is not module} if inside else {}
        hooks = [m.register_forward_hook(keep(name)) for m, name in names.items()]
        try:
            made = first_tensor(module(*args, **kwargs))
        finally:
            for hook in hooks:
                hook.remove()
        trace.outputs += [("", made)] if made is not None else []
        return trace

    try:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(trainer.precision_plugin.forward_context())
            if "torch._dynamo" in sys.modules:  # compiling once more would take long
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield call
    finally:
        restore()


def first_tensor(value: Any) -> Tensor | None:
    """Return the first tensor of a nested value, copied: a later layer may work in place."""
    return next((leaf.detach().clone() for leaf in tree_leaves(value) if isinstance(leaf, Tensor)), None)


def is_rows(value: Any, size: int) -> bool:
    """Say whether a value is a tensor with one row for each sample."""
    return is_dense(value) and value.dim() > 0 and value.size(0) == size

"""Rules of evaluation: eval mode, no gradients, nothing changed, and metrics that count each sample once."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel
from torchmetrics import Metric, MetricCollection

from .calls import CallWatch
from .checksums import checksums
from .finding import Finding, definition
from .independent import few_samples, undisturbed
from .losses import judges
from .modes import reads_mode
from .registered import hidden_values


@dataclass
class State:
    """What evaluation must leave as it finds it."""

    modes: dict[str, bool]
    requires_grad: dict[str, bool]
    tensors: dict[str, int]  # checksum of each parameter and buffer
    grad_enabled: bool


def state_of(model: LightningModule) -> State:
    buffers = dict(model.named_buffers()) if rank_zero_only.rank == 0 else {}  # the others receive those of the first
    caches = {
        f"{path}.{name}".lstrip(".") for path, m in model.named_modules() for name in m._non_persistent_buffers_set
    }
    averaged = tuple(f"{path}." for path, m in model.named_modules() if isinstance(m, AveragedModel))  # for update_bn
    kept = {name for name, b in buffers.items() if "best" in name.lower() and b.numel() == 1}  # a score, no weight
    buffers = {name: b for name, b in buffers.items() if name not in caches | kept and not name.startswith(averaged)}
    tensors = {**dict(model.named_parameters()), **buffers}
    tensors = {name: tensor for name, tensor in tensors.items() if not is_lazy(tensor)}
    return State(
        {name: m.training for name, m in model.named_modules() if not isinstance(m, Metric | MetricCollection)},
        {name: p.requires_grad for name, p in model.named_parameters()},
        checksums(tensors),
        torch.is_grad_enabled(),
    )


def check_eval_mode(model: LightningModule, calls: CallWatch, stage: str) -> Iterator[Finding]:
    """(20) Every module that runs in evaluation is in eval mode, and gradients are off."""
    names = {id(m): name for name, m in model.named_modules()}
    effect = "dropout drops and batch norm uses the batch: the metrics are those of another model, and change with the batch size"
    wrong = [m for key, (m, seen) in calls.modules.items() if seen.in_train and (key in names or reads_mode(m))]
    if wrong and (hidden := hidden_path(model, wrong, names)):
        yield Finding(
            "registered",
            hidden,
            f"{hidden} hides in a plain container: it runs in train mode during {stage}",
            "model.eval() does not reach it: " + effect,
            "use nn.ModuleList, nn.ModuleDict or nn.Sequential, assigned in __init__",
        )
    elif wrong:
        first = min(wrong, key=lambda m: (not reads_mode(m), id(m) not in names))
        known = names.get(id(first))
        where = known or (calls.modules[id(first)][1].place if known is None else "") or type(first).__name__
        yield Finding(
            "eval_mode",
            where,
            f"{known or type(first).__name__} runs in train mode during {stage}"
            + (
                ""
                if known is not None
                else ": it hides in a plain list or attribute, where model.eval() does not reach it"
            ),
            effect,
            "leave out .train() in the hooks and steps of evaluation, and make modules in __init__, as attributes",
        )
    if calls.dropped_at:
        yield Finding(
            "eval_mode",
            calls.dropped_at,
            f"functional dropout drops during {stage}",
            effect,
            "write dropout(x, p, training=self.training), or use nn.Dropout",
        )
    if calls.grad_at is not None and not calls.needs_grad:
        yield Finding(
            "eval_mode",
            calls.grad_at or definition(model, f"{stage}_step"),
            f"gradients are switched on during {stage}",
            "every batch keeps its graph: evaluation is slower and takes several times the memory",
            "leave out enable_grad and set_grad_enabled(True) in the hooks and steps of evaluation",
        )


def hidden_path(model: nn.Module, modules: list[nn.Module], names: dict[int, str]) -> str:
    """Return where the first of some modules hides, if it is no registered part of the model."""
    hidden = {id(value): path for path, value in hidden_values(model) if isinstance(value, nn.Module)}
    return next((hidden[id(m)] for m in modules if id(m) in hidden and id(m) not in names), "")


def check_left_behind(model: LightningModule, before: State, stage: str) -> Iterator[Finding]:
    """(20) and (21): evaluation puts modes and gradients back and changes no parameter and no buffer."""
    after = state_of(model)
    where = definition(model, f"on_{stage}_end", f"on_{stage}_epoch_end", f"{stage}_step")
    modes = [name for name, mode in before.modes.items() if after.modes.get(name, mode) != mode]
    if modes:
        now = "train" if after.modes[modes[0]] else "eval"
        yield Finding(
            "eval_mode",
            modes[0] or type(model).__name__,
            f"{len(modes)} modules are in {now} mode after {stage} and were not before",
            "training goes on in a mode that nobody chose",
            f"leave out .eval() and .train() in the hooks of {stage}: Lightning switches modes and puts them back",
        )
    frozen = [name for name, asked in before.requires_grad.items() if asked and not after.requires_grad.get(name, True)]
    if frozen or after.grad_enabled != before.grad_enabled:
        yield Finding(
            "eval_mode",
            frozen[0] if frozen else where,
            f"gradients are not as before {stage}" + (f" for {len(frozen)} parameters" if frozen else ""),
            "training goes on without some gradients, or with some that nobody asked for",
            "put requires_grad and torch.set_grad_enabled back, or use no_grad() in a `with`",
        )
    changed = [name for name, bits in before.tensors.items() if after.tensors.get(name, bits) != bits]
    if any(hasattr(optimizer, "train") and hasattr(optimizer, "eval") for optimizer in model.trainer.optimizers):
        changed = [name for name in changed if name not in before.requires_grad]  # schedule-free: it averages them
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        yield Finding(
            "unchanged",
            changed[0],
            f"{changed[0]}{more} changed during {stage}",
            "the model learns from the data that is to judge it, or is scored with other weights than it keeps",
            f"look for assignments and updates of it in forward and in the hooks of {stage}; update only if self.training",
        )


def check_random(trainer: Trainer, model: LightningModule, calls: CallWatch, stage: str) -> Iterator[Finding]:
    """(20) In eval mode, logits are the same every time."""
    entry = calls.entry
    if entry is None or not judges(calls):
        return
    traces = []
    with suppress(Exception), undisturbed(trainer, model, entry.module) as call:
        traces = [call(*few_samples(calls), seed=seed) for seed in (0, 1)]
    if not traces:
        return
    one, other = (trace.outputs[-1][1] for trace in traces)
    if not torch.equal(one, other) and not torch.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True):
        known = {id(m) for m in model.modules()}
        new = [
            (m, seen)
            for key, (m, seen) in calls.modules.items()
            if key not in known and any(True for _ in m.parameters())
        ]
        if new:
            module, seen = new[0]
            yield Finding(
                "registered",
                seen.place or definition(entry.module, "forward"),
                f"a {type(module).__name__} is made in every forward",
                "its weights are random each time: they are never trained, and the model answers differently each time",
                "make it once, in __init__, as an attribute of the model",
            )
            return
        yield Finding(
            "eval_mode",
            definition(entry.module, "forward"),
            f"the logits are random during {stage}: the same images give others each time",
            "the metrics, and what is chosen by them, are partly chance",
            "let noise and dropout act only `if self.training`: functional dropout and attention take it as an argument",
        )

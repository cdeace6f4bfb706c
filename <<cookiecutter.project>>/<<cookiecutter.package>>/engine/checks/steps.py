"""Which backward is in a gradient, and which step has used it: the order of a step, and what it does to the weights.

The history of a gradient lies on the gradient itself: whoever drops the gradient, by whatever call, drops it too.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from <<cookiecutter.package>>.engine.checks.findings import Finding, calls_of, definition, running

HOOKS = ("optimizer_zero_grad", "optimizer_step", "on_before_zero_grad", "on_after_backward", "backward")
HOOKS += ("on_before_optimizer_step", "configure_gradient_clipping", "training_step")
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by size in bytes
CLOSURE = "call optimizer.step(closure=optimizer_closure) once: it is zero_grad, training_step and backward"


@dataclass
class Arrival:
    """What one backward has added to one gradient."""

    backward: int
    batch: int
    used_by: set[int] = field(default_factory=set)  # optimizers that have stepped with it


@dataclass
class Record:
    """The steps of one optimizer."""

    optimizer: Any
    steps: int = 0
    served: set[int] = field(default_factory=set)  # batches whose gradients it has found
    lost: set[int] = field(default_factory=set)  # batches whose gradients no step has found
    place: str = ""  # of the last step
    shares: bool = False  # it has used what another optimizer has used, too
    mistakes: list[Finding] = field(default_factory=list)

    @property
    def members(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]


class StepWatch:
    """Hooks on parameters and optimizers, until `stop`."""

    def __init__(self, trainer: Trainer, model: LightningModule) -> None:
        self.trainer, self.model = trainer, model
        self.batch = self.backward = 0
        self.records = [Record(optimizer) for optimizer in trainer.optimizers]
        self.arrived: dict[int, list[Arrival]] = defaultdict(list)  # by parameter, since its last step
        self.received: set[int] = set()  # parameters with a gradient
        self.taught: set[int] = set()  # parameters with a gradient other than 0
        self.used: set[int] = set()  # numbers of backward that some optimizer has stepped for
        self.overflown: set[int] = set()  # numbers of backward that a gradient scaler may leave out
        self.stepping: list[Any] = []  # optimizers, one inside another
        self.by_hand = False  # gradients were set without backward
        self.spoilt = ""  # the first parameter that a step has made NaN
        self.sums = checksums(model.named_parameters())
        self.hooked: dict[int, Tensor] = {}
        self.handles: list[Any] = [register_optimizer_step_pre_hook(lambda o, *_: self.stepping.append(o))]
        self.handles.append(register_optimizer_step_post_hook(self.after_step))

    def start_batch(self) -> None:
        """Count a batch, and hook parameters that are new or trained since."""
        self.batch += 1
        self.stepping.clear()
        named = list(self.model.named_parameters())
        self.names = {id(p): name for name, p in named}
        for p in [*(p for _, p in named), *(p for record in self.records for p in record.members)]:
            if p.requires_grad and not torch.nn.parameter.is_lazy(p) and id(p) not in self.hooked:
                self.hooked[id(p)] = p
                self.handles.append(p.register_hook(lambda grad, p=p: self.before_gradient(p)))
                self.handles.append(p.register_post_accumulate_grad_hook(self.after_gradient))

    def stop(self) -> None:
        while self.handles:
            self.handles.pop().remove()

    def before_gradient(self, p: Tensor) -> None:
        if p.grad is not None and not size(p.grad):  # zeroed in place
            history(p.grad).clear()

    def after_gradient(self, p: Tensor) -> None:
        self.received.add(id(p))
        if p.grad is None:  # a hook of the owner's has used it
            self.taught.add(id(p))
        elif math.isnan(norm := size(p.grad)):
            self.overflown.add(self.backward)
        elif norm:
            self.taught.add(id(p))
            self.arrived[id(p)].append(Arrival(self.backward, self.batch))
            history(p.grad).append(self.arrived[id(p)][-1])

    def after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        while self.stepping and self.stepping.pop() is not optimizer:
            pass
        new = Record(optimizer)
        mine = {id(p): p for p in new.members}
        record = next((r for r in self.records if {id(p) for p in r.members} == mine.keys()), new)
        if self.stepping or (record is new and not mine.keys() & self.names.keys()):
            return  # inside another one, or of another model
        self.records += [record] if record is new else []
        held = [(p, p.grad) for p in mine.values() if p.grad is not None]
        grads = [grad for _, grad in held if size(grad)]
        spoilt = (p for p, _ in held if torch.linalg.vector_norm(p.detach()).isnan())
        self.spoilt = self.spoilt or next((self.names.get(id(p), "a weight") for p in spoilt), "")
        if self.backward not in self.overflown:
            self.by_hand |= not all(map(history, grads))
            if all(map(history, grads)):
                self.note(record, [a for grad in grads for a in history(grad)], [*mine])

    def note(self, record: Record, found: list[Arrival], mine: list[int]) -> None:
        """Note a step, by the batches whose gradients it has found and which came since the last one."""
        me, here = id(record), [a.backward for a in found if a.batch == self.batch]
        fresh, stale = ({a.batch for a in found if (me in a.used_by) is used} for used in (False, True))
        others = [a for a in found if a.used_by - {me}]
        foreign = any(a.batch == self.batch and a.backward < max(here) for a in others)
        came = [a for key in mine for a in self.arrived.pop(key, [])]
        if record.steps:  # before its first step an optimizer may only wait
            record.lost |= {a.batch for a in came if a.backward not in self.used | self.overflown}
        record.steps += 1
        record.served |= fresh | stale
        record.place = running() or definition(self.model, *HOOKS)
        record.shares |= bool(others) and not foreign
        what = mistake(fresh, stale, foreign, self.batch)
        remedy = CLOSURE if self.model.automatic_optimization else None
        record.mistakes += [Finding("order", record.place, what, "check" if foreign else None, remedy)] if what else []
        for arrival in found:
            arrival.used_by.add(me)
            self.used.add(arrival.backward)

    def held(self) -> set[int]:
        """Return the ids of what an optimizer holds."""
        return {id(p) for record in self.records for p in record.members}

    def changed(self) -> set[str]:
        """Return the names of the parameters that are not what they were."""
        return {name for name, bits in checksums(self.model.named_parameters()).items() if self.sums.get(name) != bits}

    def unmoved(self) -> list[str]:
        """Return the names of the parameters that an optimizer has stepped for, and that are what they were."""
        stepped = {id(p) for record in self.records if record.steps for p in record.members}
        changed = self.changed()
        return [name for key, name in self.names.items() if key in self.taught & stepped and name not in changed]

    def waits(self) -> bool:
        """Say whether a parameter that is optimized has had no gradient other than 0 yet."""
        return any(p.requires_grad and id(p) not in self.taught for record in self.records for p in record.members)


def history(grad: Tensor) -> list[Arrival]:
    return vars(grad).setdefault("history", [])


def size(grad: Tensor) -> float:
    """Return the norm: 0 for zeros alone, NaN with one number that is not finite. Ten times as fast as asking for those."""
    values = grad.coalesce().values() if grad.is_sparse else grad
    norm = float(torch.linalg.vector_norm(values))
    if 0 < norm < math.inf:
        return norm
    return float(values.any()) if values.isfinite().all() else math.nan


def checksums(tensors: Any) -> dict[str, int]:
    """Return, by name, the sum of the bits of each tensor: another one after nearly any change."""
    sums = {}
    for name, tensor in tensors:
        sums[name], is_lazy = 0, torch.nn.parameter.is_lazy(tensor)
        if not is_lazy and tensor.layout == torch.strided and tensor.numel() and not tensor.is_meta:
            tensor = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
            parts = tensor.view(BITS[tensor.element_size()]).flatten().split(2**18)  # a wider copy of all is slow
            sums[name] = int(torch.stack([part.sum(dtype=torch.int64) for part in parts]).sum())
    return sums


def mistake(fresh: set[int], stale: set[int], foreign: bool, batch: int) -> str:
    """Return what is wrong with a step that has found gradients of these batches for the first time, and once more."""
    if fresh and stale:
        return "gradients are never cleared: this step adds those of earlier batches, which were used already"
    if foreign:
        return "gradients of another optimizer's loss are not cleared: this step adds them to its own"
    if max(fresh | stale, default=batch) < batch:
        return "a step with the gradients of an earlier batch: it comes before the backward of its own"
    return "a step is done twice with the same gradients" if stale else ""


def check_order(watch: StepWatch, *, last: bool) -> Iterator[Finding]:
    """Per optimizer the order is zero_grad, backward, step. `last`: there were batches enough for a step."""
    for number, record in enumerate(watch.records):
        lost = record.lost - record.served
        if record.mistakes:
            yield min(record.mistakes, key=lambda finding: finding.verdict == "check")
        elif len(lost) > 1 and len(lost) >= len(record.served) - 1:
            what = "gradients are thrown away: they are cleared between backward and step"
            yield Finding("order", next((place for place, _ in calls_of(watch.model, "zero_grad")), record.place), what)
        elif last and not record.steps and not watch.by_hand:
            where, idle = definition(watch.model, "optimizer_step", "training_step"), not watch.changed()
            what = f"optimizer {number} has not stepped in {watch.batch} batches, and gradients are computed"
            if not watch.received:
                what = "backward and step are left out: in manual optimization training_step calls both"
            if idle or watch.taught & {id(p) for p in record.members}:
                yield Finding("order", where, what, None if idle else "check")


def check_optimizers(watch: StepWatch) -> Iterator[Finding]:
    """What receives gradients is in one optimizer. A part that is left out as a whole may be meant so."""
    groups, names = [[id(p) for p in record.members] for record in watch.records], watch.names
    held = set().union(*groups)
    missing = [name for key, name in names.items() if key in watch.received and key not in held] if held else []
    changed = watch.changed() if missing else set()  # some are updated by hand
    modules = {name: watch.model.get_submodule(name.rpartition(".")[0]) for name in missing if name not in changed}
    modules = {name: module for name, module in modules.items() if module.training}
    for name in list(modules)[:1]:
        by_half = any(id(p) in held for p in modules[name].parameters(recurse=False))
        gone = len(held - names.keys())
        what = f"{name} ({len(modules)} parameters in all) receives gradients and is in no optimizer"
        what += f", which holds {gone} tensors that are no parameters of the model" if gone else ""
        yield Finding("optimizer", name, what, None if by_half or gone else "check")
    twice = [name for key, name in names.items() if sum(group.count(key) for group in groups) > 1]
    if twice and (any(len(set(group)) < len(group) for group in groups) or any(r.shares for r in watch.records)):
        what, remedy = f"{twice[0]} is in the optimizers twice", "give each parameter to one optimizer, once"
        yield Finding("optimizer", twice[0], what, "check", remedy, "it moves twice")


def check_gradients(watch: StepWatch, *, last: bool) -> Iterator[Finding]:
    """Weights stay numbers; and what is optimized has received a gradient other than 0. `last`: it had the time."""
    if watch.spoilt:
        what, effect = f"{watch.spoilt} is NaN after a step of the optimizer", "from here on every output is NaN"
        remedy = "look for log(0), sqrt(0), a division by 0, or a learning rate that is too high"
        yield Finding("gradients", watch.spoilt, what, "wrong", remedy, effect)
    held = {id(p) for record in watch.records for p in record.members if p.requires_grad}
    names = {name: key for key, name in watch.names.items() if key in held}
    parts = {name.rpartition(".")[0] for name, key in names.items() if key in watch.taught}  # a part of it may be idle
    missing = [name for name, key in names.items() if key not in watch.received]
    zero = [name for name in names if name.rpartition(".")[0] not in parts and not watch.overflown]
    if (missing or zero) and last and watch.received and not watch.by_hand:
        which = f"{(missing or zero)[0]} ({len(missing or zero)} parameters in all)"
        how = "has received no gradient" if missing else "has received only gradients of 0"
        yield Finding("gradients", (missing or zero)[0], f"{which} {how} in {watch.batch} batches")


def check_weights(watch: StepWatch) -> Iterator[Finding]:
    """What an optimizer has stepped for has changed."""
    if still := watch.unmoved():
        some, groups = watch.changed(), [group for o in watch.trainer.optimizers for group in o.param_groups]
        rates = sorted({float(group.get("lr", 1)) for group in groups})
        which = f"{still[0]} ({len(still)} parameters in all) is" if some else "all weights are"
        what = f"{which} the same after {watch.batch} batches, with a learning rate of {rates}"
        warms_up = watch.trainer.lr_scheduler_configs and not any(rates)
        yield Finding("weights", still[0], what, "check" if some or warms_up else None)

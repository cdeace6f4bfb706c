"""Which backward is in a gradient, and which step has used it: the order of a step, and what it does to the weights.

The history of a gradient lies on the gradient itself: whoever drops the gradient, by whatever call, drops it too.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from <<cookiecutter.package>>.engine.checks.findings import Finding, calls_of, definition, running

HOOKS = ("optimizer_zero_grad", "optimizer_step", "on_before_zero_grad", "on_after_backward", "backward")
HOOKS += ("on_before_optimizer_step", "configure_gradient_clipping", "training_step")
CLOSURE = "call optimizer.step(closure=optimizer_closure) once: the closure is zero_grad, training_step and backward"


@dataclass
class Arrival:
    """What one backward has added to one gradient."""

    backward: int
    batch: int
    used_by: set[int] = field(default_factory=set)  # optimizers that have stepped with it


@dataclass
class Step:
    """One step of an optimizer, by the batches whose gradients it has found."""

    batch: int
    fresh: set[int]  # used for the first time
    stale: set[int]  # used by this optimizer before
    lost: set[int]  # came since its last step, were used by no step, and are gone
    foreign: bool  # some belong to a loss that another optimizer has stepped for since
    twice: bool  # another optimizer has used the same
    place: str


class StepWatch:
    """Hooks on parameters and optimizers, until `stop`."""

    def __init__(self, trainer: Trainer, model: LightningModule) -> None:
        self.trainer, self.model = trainer, model
        self.batch = self.backward = 0
        self.optimizers = {id(optimizer): optimizer for optimizer in trainer.optimizers}
        self.steps: dict[int, list[Step]] = {key: [] for key in self.optimizers}
        self.arrived: dict[int, list[Arrival]] = defaultdict(list)  # by parameter, since its last step
        self.received: set[int] = set()  # parameters with a gradient,
        self.nonzero: set[int] = set()  # with one other than 0
        self.used: set[int] = set()  # numbers of backward that some optimizer has stepped for
        self.overflown: set[int] = set()  # that a gradient scaler may leave out
        self.stepping: list[Any] = []  # optimizers, one inside another
        self.by_hand = False  # some gradients were set without backward
        self.spoilt = ""  # the first parameter that a step has made NaN
        self.sums = checksums(model)
        self.hooked: dict[int, Tensor] = {}
        self.handles: list[Any] = [register_optimizer_step_pre_hook(lambda o, *_: self.stepping.append(o))]
        self.handles.append(register_optimizer_step_post_hook(self.after_step))

    def start_batch(self) -> None:
        """Count a batch, and hook parameters that are new or trained since."""
        self.batch += 1
        self.stepping.clear()
        self.names = {id(p): name for name, p in self.model.named_parameters()}
        held = (p for optimizer in self.optimizers.values() for p in members(optimizer))
        for p in chain(self.model.parameters(), held):
            if p.requires_grad and not is_lazy(p) and id(p) not in self.hooked:
                self.hooked[id(p)] = p
                self.handles.append(p.register_hook(partial(self.before_gradient, p)))
                self.handles.append(p.register_post_accumulate_grad_hook(self.after_gradient))

    def stop(self) -> None:
        while self.handles:
            self.handles.pop().remove()

    def before_gradient(self, p: Tensor, grad: Tensor) -> None:
        if p.grad is not None and not is_nonzero(p.grad):  # zeroed in place
            history(p.grad).clear()

    def after_gradient(self, p: Tensor) -> None:
        self.received.add(id(p))
        if p.grad is None:  # a hook of the owner's has used it
            self.nonzero.add(id(p))
        elif not bool(torch.isfinite(values(p.grad)).all()):
            self.overflown.add(self.backward)
        elif is_nonzero(p.grad):
            self.nonzero.add(id(p))
            arrival = Arrival(self.backward, self.batch)
            self.arrived[id(p)].append(arrival)
            history(p.grad).append(arrival)

    def after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        while self.stepping and self.stepping.pop() is not optimizer:
            pass
        mine = members(optimizer)
        ids = {id(p) for p in mine}
        if self.stepping or not (id(optimizer) in self.optimizers or ids & self.names.keys()):
            return  # inside another one, or of another model
        same = (key for key, other in self.optimizers.items() if {id(p) for p in members(other)} == ids)
        me = id(optimizer) if id(optimizer) in self.optimizers else next(same, id(optimizer))
        self.optimizers.setdefault(me, optimizer)
        grads = [p.grad for p in mine if p.grad is not None and is_nonzero(p.grad)]
        if self.backward in self.overflown:
            return  # a gradient scaler leaves this step out
        self.spoilt = self.spoilt or next((self.names.get(id(p), "a weight") for p in mine if has_nan(p)), "")
        if any(not history(grad) for grad in grads):
            self.by_hand = True
            return
        found = [arrival for grad in grads for arrival in history(grad)]
        self.steps.setdefault(me, []).append(self.step_of(me, mine, found))
        for arrival in found:
            arrival.used_by.add(me)
            self.used.add(arrival.backward)

    def step_of(self, me: int, mine: list[Tensor], found: list[Arrival]) -> Step:
        came = [arrival for p in mine for arrival in self.arrived.pop(id(p), [])]
        lost = {a.batch for a in came if a.backward not in self.used | self.overflown} - {a.batch for a in found}
        now = [a.backward for a in found if a.batch == self.batch]
        others = [a for a in found if a.used_by - {me}]
        foreign = any(a.batch == self.batch and a.backward < max(now) for a in others)
        return Step(
            self.batch,
            fresh={a.batch for a in found if me not in a.used_by},
            stale={a.batch for a in found if me in a.used_by},
            lost=lost if self.steps.get(me) else set(),  # before its first step an optimizer may only wait
            foreign=foreign,
            twice=bool(others) and not foreign,
            place=running(),
        )

    def changed(self) -> set[str]:
        """Return the names of the parameters that are not what they were."""
        return {name for name, bits in checksums(self.model).items() if self.sums.get(name) != bits}

    def is_waiting(self) -> bool:
        """Say whether a parameter that is optimized has had no gradient other than 0 yet."""
        held = (p for optimizer in self.trainer.optimizers for p in members(optimizer))
        return any(p.requires_grad and id(p) not in self.nonzero for p in held)


def members(optimizer: Any) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def history(grad: Tensor) -> list[Arrival]:
    return vars(grad).setdefault("history", [])


def values(grad: Tensor) -> Tensor:
    return grad.coalesce().values() if grad.is_sparse else grad


def is_nonzero(grad: Tensor) -> bool:
    return bool(values(grad).any())


def has_nan(p: Tensor) -> bool:
    return not is_lazy(p) and p.grad is not None and bool(p.isnan().any())


def checksums(model: LightningModule) -> dict[str, int]:
    return {name: checksum(p) for name, p in model.named_parameters()}


def checksum(tensor: Tensor) -> int:
    """Return the sum of a tensor's bits: another one after nearly any change."""
    if is_lazy(tensor) or tensor.layout != torch.strided or tensor.device.type == "meta" or not tensor.numel():
        return 0
    tensor = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
    bits = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return int(tensor.view(bits).sum(dtype=torch.int64))


def check_order(watch: StepWatch, *, last: bool) -> Iterator[Finding]:
    """Per optimizer the order is zero_grad, backward, step. `last`: there were batches enough for a step."""
    model = watch.model
    where = definition(model, *HOOKS)
    for steps in watch.steps.values():
        for step in steps:
            if problem := mistake(step, automatic=model.automatic_optimization):
                what, verdict, effect, remedy = problem
                yield Finding("order", step.place or where, what, verdict, remedy, effect)
                return
        served = set().union(*(step.fresh | step.stale for step in steps))
        lost = set().union(*(step.lost for step in steps)) - served
        if len(lost) >= max(1, len(served) - 1) and len(steps) > 1:
            what = "gradients are thrown away: they are cleared between backward and step"
            cleared = next((place for place, _ in calls_of(model, "zero_grad")), steps[-1].place or where)
            yield Finding("order", cleared, what, effect="what these batches teach is lost")
            return
    idle = [number for number, steps in enumerate(watch.steps.values()) if not steps]
    if last and idle and not watch.by_hand and not watch.changed():
        what = "a step is left out: gradients are computed and no optimizer steps"
        if not watch.received:
            what = "backward and step are left out: in manual optimization training_step calls both"
        where = definition(model, "optimizer_step", "training_step")
        yield Finding("order", where, what, effect="the weights stay as they were initialised")
    elif last and idle and watch.nonzero & {id(p) for p in members(list(watch.optimizers.values())[idle[0]])}:
        what = f"optimizer {idle[0]} has not stepped in {watch.batch} batches, and its parameters receive gradients"
        yield Finding("order", definition(model, "training_step"), what, "check", effect="they stay as they are")


def mistake(step: Step, *, automatic: bool) -> tuple[str, str | None, str, str | None] | None:
    """Return what is wrong with a step, the verdict, the effect and the remedy, the last where it is a special one."""
    if step.fresh and step.stale:
        what = "gradients are never cleared: this step adds those of earlier batches, which were used already"
        return what, None, "the sum grows with every batch: training follows old gradients, and drifts or diverges", None
    if step.foreign:
        what = "gradients of another optimizer's loss are not cleared: this step adds them to its own"
        return what, "check", "this part also learns the other one's aim: in a GAN both work for the same side", None
    late = max(step.fresh | step.stale, default=step.batch) < step.batch
    if late:
        what = "a step with the gradients of an earlier batch: it comes before the backward of its own"
        return what, None, "every update is late, and the last batch is never learnt from", CLOSURE if automatic else None
    if step.stale:
        what = "a step is done twice with the same gradients"
        return what, None, "the weights move twice for one batch, with moments of the optimizer counted twice", (
            CLOSURE if automatic else "call step() once after each backward"
        )
    return None


def check_optimizers(watch: StepWatch) -> Iterator[Finding]:
    """What receives gradients is in one optimizer. A part that is left out as a whole may be meant so."""
    groups = [[id(p) for p in members(optimizer)] for optimizer in watch.optimizers.values()]
    held = set().union(*groups)
    missing = [name for key, name in watch.names.items() if key in watch.received and key not in held]
    changed = watch.changed() if held and missing else set(missing)  # some are updated by hand
    missing = [name for name in missing if name not in changed and parent(watch.model, name).training]
    if missing:
        by_half = any(id(p) in held for p in parent(watch.model, missing[0]).parameters(recurse=False))
        what = f"{missing[0]} ({len(missing)} parameters in all) receives gradients and is in no optimizer"
        if gone := len(held - watch.names.keys()):
            what += f", which holds {gone} parameters that the model does not have"
        remedy = f"hand it to the optimizer in {definition(watch.model, 'configure_optimizers')}, or requires_grad_(False)"
        yield Finding("optimizer", missing[0], what, None if by_half or gone else "check", remedy)
    twice = [name for key, name in watch.names.items() if sum(group.count(key) for group in groups) > 1]
    in_one = any(len(set(group)) < len(group) for group in groups)
    if twice and (in_one or any(step.twice for steps in watch.steps.values() for step in steps)):
        effect = "it moves twice, in two different ways"
        remedy = "give each parameter to one optimizer, once"
        yield Finding("optimizer", twice[0], f"{twice[0]} is updated twice for each batch", "check", remedy, effect)


def parent(model: LightningModule, name: str) -> Any:
    """Return the module that has a parameter of this name."""
    return model.get_submodule(name.rpartition(".")[0])


def check_gradients(watch: StepWatch, *, last: bool) -> Iterator[Finding]:
    """Weights stay numbers; and everything optimized has received a gradient other than 0. `last`: it had the time."""
    if watch.spoilt:
        what = f"{watch.spoilt} is NaN after a step of the optimizer"
        effect = "from here on every output is NaN, and nothing is learnt any more"
        remedy = "look for log(0), sqrt(0), a division by 0, or a learning rate that is too high"
        yield Finding("gradients", watch.spoilt, what, "wrong", remedy, effect)
    held = {id(p) for o in watch.trainer.optimizers for p in members(o) if p.requires_grad}
    names = {key: name for key, name in watch.names.items() if key in held}
    missing = [name for key, name in names.items() if key not in watch.received]
    zero = [name for key, name in names.items() if key in watch.received - watch.nonzero and not watch.overflown]
    if last and watch.received and not watch.by_hand:
        if missing:
            what = f"{missing[0]} ({len(missing)} parameters in all) has received no gradient in {watch.batch} batches"
            yield Finding("gradients", missing[0], what)
        elif zero:
            what = f"the gradient of {zero[0]} ({len(zero)} parameters in all) is 0 in {watch.batch} batches"
            yield Finding("gradients", zero[0], what)


def check_weights(watch: StepWatch) -> Iterator[Finding]:
    """Some weights have changed."""
    if watch.nonzero and not watch.changed():
        rates = sorted({float(group["lr"]) for o in watch.trainer.optimizers for group in o.param_groups if "lr" in group})
        what = f"all weights are the same after {watch.batch} batches, with a learning rate of {rates}"
        later = watch.trainer.lr_scheduler_configs and not any(rates)  # a warm-up may begin at 0
        yield Finding("weights", "configure_optimizers", what, "check" if later else None)

"""What happens to the gradients between two steps: zero_grad, backward, clipping, step, of every optimizer."""

import math
import sys
from collections import defaultdict
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import WeakIdKeyDictionary

from .checksums import checksums
from .clipping import scaled, watch_clipping
from .finding import Finding, definition, owner_frame, place
from .gradient import size, version
from .losses import check_loss
from .registered import check_registered
from .tracer import Tracer


@dataclass
class Step:
    """One step of an optimizer and the gradients that it found."""

    batch: int  # number of the batch it was made in
    backwards: int  # number of calls of backward before it
    fresh: set[int]  # batches whose gradients it used first
    stale: set[int]  # batches whose gradients an earlier step had used already
    foreign: bool  # some of the fresh ones belong to a loss that another optimizer has stepped for since
    place: str


class StepWatch:
    """Follows each parameter's gradient: which calls of backward are in it, and which steps have used them."""

    def __init__(self, trainer: Trainer, module: LightningModule, tracer: Tracer) -> None:
        self.trainer, self.module = trainer, module
        self.optimizers: list[Any] = []
        self.names = {id(p): name for name, p in module.named_parameters()}
        self.parameters: dict[int, Tensor] = {id(p): p for p in module.parameters()}
        self.owner: dict[int, int] = {}  # id of a parameter -> number of its optimizer
        self.steps: list[list[Step]] = []
        self.used: list[set[int]] = []  # by optimizer, the calls of backward whose gradients it has used
        self.cleared: list[set[int]] = []  # by optimizer, those whose gradients were cleared before it used them
        self.latest: dict[int, int] = {}
        for optimizer in trainer.optimizers:
            self.add(optimizer)
        self.configured = len(self.optimizers)  # those after it were met in training
        self.batch = self.backwards = 0
        self.pending: dict[int, set[int]] = defaultdict(set)  # id of a parameter -> numbers of the calls of backward
        self.batch_of: dict[int, int] = {}  # number of a call of backward -> number of its batch
        self.met = WeakIdKeyDictionary()  # tensors that losses depend on and no module knows
        self.received: set[int] = set()  # ids of parameters that had a gradient
        self.nonzero: set[int] = set()  # ids of parameters that had one other than 0
        self.not_finite: set[int] = set()
        self.largest: dict[int, float] = defaultdict(float)  # id of a parameter -> the largest gradient of a step
        self.by_hand: set[int] = set()  # numbers of optimizers whose gradients come from elsewhere than backward
        self.wraps: set[int] = set()  # numbers of optimizers that step through another one
        self.cleared_at: dict[int, str] = {}  # by optimizer
        self.scaled = False
        self.overflown: set[int | None] = set()  # optimizers whose scaled gradients are not finite
        self.unscaled: set[int] = set()  # ids of parameters
        self.findings: list[Finding] = []
        self.at_first = checksums(self.parameters)
        self.latest |= self.at_first
        self.changed: set[int] = set()
        self.clip: Finding | None = None  # before any backward of its batch, if one follows
        self.handle = register_optimizer_step_post_hook(lambda optimizer, *_: self.stepped(optimizer))
        tracer.watch(torch.autograd.backward, self.backward_begins, self.backward_ends)
        for clear in (torch.optim.Optimizer.zero_grad, nn.Module.zero_grad):
            tracer.watch(clear, self.clears)
        watch_clipping(self, tracer)

    def waits(self) -> bool:
        """Say whether a parameter has no gradient other than 0 yet, or has not changed."""
        waiting = [key for key in self.owner if self.parameters[key].requires_grad]
        zero = [key for key in waiting if key not in self.nonzero and self.parameters[key].dim() > 1]  # a bias may be
        return bool(zero) or any(key not in self.received or key not in self.changed for key in waiting)

    def add(self, optimizer: Any) -> None:
        """Follow one more optimizer."""
        number = len(self.optimizers)
        self.optimizers.append(optimizer)
        self.steps.append([])
        self.used.append(set())
        self.cleared.append(set())
        new = {id(p): p for p in members(optimizer) if id(p) not in self.parameters}
        self.parameters |= new
        self.latest |= checksums(new)
        for p in members(optimizer):
            self.owner.setdefault(id(p), number)

    def backward_begins(self, frame: FrameType) -> None:
        self.note_cleared()
        self.grads = {key: version(p.grad) for key, p in self.parameters.items()}
        tensors = frame.f_locals["tensors"]
        losses = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        where = place(owner_frame(frame)) or definition(self.module, "training_step")
        if not self.nonzero or any(loss.any() for loss in losses):  # else a batch without anything to learn
            self.findings += check_loss(losses, self.parameters, where)
        self.findings += check_registered(self.module, losses, self.met)

    def backward_ends(self, frame: FrameType, value: Any) -> None:
        self.backwards += 1
        self.batch_of[self.backwards] = self.batch
        if self.clip is not None:
            self.findings.append(self.clip)
            self.clip = None
        grads = {key: p.grad for key, p in self.parameters.items() if p.grad is not None}
        sizes = {key: size(grad) for key, grad in grads.items() if version(grad) != self.grads.get(key)}
        infinite = {key for key, largest in sizes.items() if not math.isfinite(largest)}
        self.overflown = {self.owner.get(key) for key in infinite} if self.scaled else set()
        self.not_finite |= set() if self.scaled else infinite
        for key, largest in sizes.items():
            if self.owner.get(key) in self.overflown:
                self.pending[key].clear()  # the scaler leaves out the step
                continue
            self.received.add(key)
            if largest:
                self.nonzero.add(key)
                self.pending[key].add(self.backwards)

    def clears(self, frame: FrameType) -> None:
        cleared = frame.f_locals["self"]
        for number, optimizer in enumerate(self.optimizers):
            same = isinstance(cleared, nn.Module) or cleared.param_groups is optimizer.param_groups
            if same and (where := place(owner_frame(frame))):
                self.cleared_at[number] = where

    def note_cleared(self) -> None:
        """Forget the gradients that are gone, and remember whether a step had used them."""
        for key, numbers in self.pending.items():
            grad = self.parameters[key].grad
            if numbers and (grad is None or not size(grad)):
                if (owner := self.owner.get(key)) is not None:
                    self.cleared[owner] |= numbers - self.used[owner]
                numbers.clear()

    def stepped(self, optimizer: Any) -> None:
        """Called after each step of any optimizer."""
        mine = {id(p): p for p in members(optimizer)}
        number = self.number_of(optimizer, mine)
        if number is None or number in self.overflown:
            return
        self.note_cleared()
        numbers = set().union(*(self.pending[key] for key in mine))
        if not numbers and any(p.grad is not None and size(p.grad) for p in mine.values()):
            self.received |= mine.keys()  # from torch.autograd.grad, or computed by hand
            self.nonzero |= mine.keys()
            self.by_hand.add(number)
            return
        fresh, stale = numbers - self.used[number], numbers & self.used[number]
        first, again = ({self.batch_of[n] for n in some} for some in (fresh, stale))
        for key, p in mine.items():
            self.largest[key] = max(self.largest[key], 0.0 if p.grad is None else size(p.grad))
        where = place(owner_frame(sys._getframe(1)))
        foreign = self.is_foreign(number, fresh)
        self.steps[number].append(Step(self.batch, self.backwards, first, again, foreign, where))
        self.used[number] |= fresh
        if self.scaled and not mine.keys() & self.unscaled and getattr(optimizer, "grad_scale", None) is None:
            self.findings.append(scaled("the optimizer steps with gradients that are still scaled", where))
        after = checksums(mine)
        self.changed |= {key for key in mine if after[key] != self.latest[key]}
        self.latest |= after

    def number_of(self, optimizer: Any, mine: dict[int, Tensor]) -> int | None:
        """Return the number of the optimizer that steps; None for one of another model, or one that wraps another."""
        same = [number for number, known in enumerate(self.optimizers) if known is optimizer]
        if same:
            return None if same[0] in self.wraps else same[0]
        for number, known in enumerate(self.optimizers):
            if {id(p) for p in members(known)} == mine.keys():
                self.wraps.add(number)  # its step is that of the optimizer inside
                return number
        if not mine.keys() & self.names.keys():
            return None
        self.add(optimizer)
        return len(self.optimizers) - 1

    def is_foreign(self, number: int, fresh: set[int]) -> bool:
        """Say whether a fresh gradient is of a loss that another optimizer stepped for, before a later backward.

        One from an earlier batch counts only if this optimizer stepped in that batch, before: else it accumulates.
        """
        for n in fresh:
            others = [other for other in range(len(self.steps)) if other != number and n in self.used[other]]
            between = any(n <= step.backwards < max(fresh) for other in others for step in self.steps[other])
            stepped = any(step.batch == self.batch_of[n] and step.backwards < n for step in self.steps[number])
            if between and (self.batch_of[n] == self.batch or stepped):
                return True
        return False


def members(optimizer: Any) -> list[Tensor]:
    """Return the parameters of an optimizer."""
    return [p for group in optimizer.param_groups for p in group["params"]]

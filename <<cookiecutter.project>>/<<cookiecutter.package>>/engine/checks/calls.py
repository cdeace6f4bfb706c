"""The modules and losses that a step calls, in which mode, and how."""

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import getattr_static
from types import FrameType
from typing import Any
from weakref import ref

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection

from .batch import is_dense, size_of
from .finding import Finding, definition, is_owners, owner_frame, place
from .tracer import Tracer

CALL = nn.Module._wrapped_call_impl.__code__  # what model(x) runs before forward
LOSSES = ("cross_entropy", "nll_loss", "binary_cross_entropy_with_logits")
DROPOUTS = ("dropout", "alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")
STEPS = ("training_step", "validation_step", "test_step", "predict_step")


@dataclass
class Seen:
    """How a module was called, in one step or several."""

    in_train: bool = False
    trained: set[int] = field(default_factory=set)  # batches in which it ran with gradients, in train mode
    evaluated: set[int] = field(default_factory=set)  # the same in eval mode
    with_grad: bool = False
    trainable: bool = False  # it had a parameter of its own that required a gradient
    place: str = ""  # where it was called first

    @property
    def in_eval(self) -> bool:
        """In some batch it ran with gradients in eval mode only: an attack on the inputs may be made so, before training."""
        return bool(self.evaluated - self.trained)


@dataclass
class Entry:
    """The first outermost call of the model in a step."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any = None


@dataclass
class LossCall:
    """The arguments of a loss function of torch.nn.functional."""

    name: str
    outputs: Tensor
    targets: Tensor
    ignore_index: int
    where: str


@dataclass
class CallWatch:
    """What is called in the steps of one stage, while the tracer is on."""

    model: LightningModule
    tracer: Tracer
    modules: dict[int, tuple[nn.Module, Seen]] = field(default_factory=dict)
    entry: Entry | None = None
    losses: list[LossCall] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    grad_at: str | None = None  # place of the first call of the model with gradients on
    dropped_at: str | None = None  # place of the first functional dropout that was told to drop

    def __post_init__(self) -> None:
        self.stack: list[nn.Module] = []
        self.active = self.needs_grad = False
        self.made_by: dict[int, tuple[Any, nn.Module]] = {}  # id of an output -> a weak reference, the innermost module
        self.base = self.batch_size = self.batches = 0
        self.inputs: Tensor | None = None  # what the first layer of the model is given, if its scale matters there
        self.tracer.watch(nn.Module._wrapped_call_impl, self.called, self.returned)
        for kind in {type(m) for m in self.model.modules() if not isinstance(m, Metric | MetricCollection)}:
            self.tracer.watch(getattr_static(kind, "forward", None), self.forward_runs)
        for name in STEPS:
            self.tracer.watch(getattr(type(self.model), name), self.step_begins)
        self.tracer.watch(torch.autograd.grad, self.differentiates)
        for name in LOSSES:
            self.tracer.watch(getattr(functional, name), self.loss_called(name))
        for name in DROPOUTS:
            self.tracer.watch(getattr(functional, name), self.dropout_called)

    def begin(self, batch: Any) -> None:
        self.stack.clear()
        self.made_by.clear()
        self.active, self.batches, self.batch_size = True, self.batches + 1, size_of(batch)
        self.base, self.entry, self.batch, self.num_entries = 0, None, batch, 0
        self.first_layer = self.inputs = None
        self.losses.clear()

    def step_begins(self, frame: FrameType) -> None:
        """Forget the call of DistributedDataParallel, which calls the model, which calls the step."""
        self.base, self.entry, self.num_entries = len(self.stack), None, 0

    def called(self, frame: FrameType) -> None:
        module = frame.f_locals["self"]
        if self.active and not isinstance(module, Metric | MetricCollection):
            if id(module) not in self.modules:
                self.modules[id(module)] = module, Seen(place=place(owner_frame(frame)))
            _, seen = self.modules[id(module)]
            grad = torch.is_grad_enabled()
            seen.in_train |= module.training
            if grad:
                (seen.trained if module.training else seen.evaluated).add(self.batches)
            seen.with_grad |= grad
            own = list(module.parameters(recurse=False))
            seen.trainable |= any(p.requires_grad for p in own)
            if own and not any(True for _ in module.children()) and self.first_layer is None:
                self.first_layer = module
                given = frame.f_locals["args"][0] if frame.f_locals["args"] else None
                normalises = isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm)
                self.inputs = given if is_dense(given) and given.is_floating_point() and not normalises else None
            outermost = len(self.stack) == self.base
            self.num_entries += outermost and any(True for _ in module.parameters())
            if outermost and self.entry is None and any(True for _ in module.parameters()):
                self.entry = Entry(module, frame.f_locals["args"], frame.f_locals["kwargs"])
                self.grad_at = self.grad_at or (grad and place(owner_frame(frame))) or None
        self.stack.append(module)

    def returned(self, frame: FrameType, value: Any) -> None:
        module = self.stack.pop() if self.stack else None
        if self.active and module is not None and isinstance(value, Tensor):
            known = self.made_by.get(id(value))
            if known is None or known[0]() is not value:  # the number of a tensor that is gone serves another one
                self.made_by[id(value)] = ref(value), module
        if self.entry and self.entry.module is module and len(self.stack) == self.base:
            self.num_entries -= is_same(self.entry.output, value)  # called again, for another score of the same batch
            self.entry.output = value if self.entry.output is None else self.entry.output

    def note_output(self, entry: nn.Module, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """A forward hook of all modules that keeps what one puts out, for batches that are not traced."""
        if module is entry and not (self.entry and is_same(self.entry.output, output)):
            self.entry, self.num_entries = Entry(module, args, {}, output), self.num_entries + 1

    def forward_runs(self, frame: FrameType) -> None:
        """(2) Is this run of forward reached through the call of its module?"""
        if not frame.f_code.co_varnames:
            return
        first = frame.f_locals.get(frame.f_code.co_varnames[0])
        module = first[0] if isinstance(first, tuple) and first else first  # of a decorator: *args
        caller = frame.f_back
        while caller is not None and caller.f_code.co_filename.endswith("contextlib.py"):  # a decorator of forward
            caller = caller.f_back
        if not isinstance(module, nn.Module) or caller is None or not is_owners(caller.f_code.co_filename):
            return
        if any(finding.where == place(caller) for finding in self.findings):
            return
        outer: FrameType | None = caller
        while outer is not None and outer.f_code.co_name not in STEPS:
            if outer.f_code is CALL and outer.f_locals["self"] is module:
                return
            outer = outer.f_back
        what = f"{type(module).__name__}.forward is called directly"
        effect = "hooks, torch.compile and DistributedDataParallel act in the call and are left out"
        self.findings.append(
            Finding("called", place(caller), what, effect, "write model(x) instead of model.forward(x)")
        )

    def loss_called(self, name: str) -> Callable[[FrameType], None]:
        def called(frame: FrameType) -> None:
            values = frame.f_locals
            if self.active and is_dense(values["input"]):
                index, where = values.get("ignore_index", -100), self.path(self.stack[-1:]) or place(owner_frame(frame))
                self.losses.append(LossCall(name, values["input"], values["target"], index, where))

        return called

    def differentiates(self, frame: FrameType) -> None:
        self.needs_grad = True  # a force, or the residual of an equation

    def dropout_called(self, frame: FrameType) -> None:
        inside = isinstance(
            frame.f_back and frame.f_back.f_locals.get("self"), nn.Dropout | nn.modules.dropout._DropoutNd
        )
        if self.active and frame.f_locals["training"] and frame.f_locals["p"] > 0 and not inside:
            self.dropped_at = self.dropped_at or place(owner_frame(frame)) or "a library"

    def path(self, modules: list[nn.Module]) -> str:
        """Return the path of a registered module, or an empty string."""
        return next((name for name, m in self.model.named_modules() if modules and m is modules[0]), "")

    def maker(self, outputs: Tensor) -> str:
        """Return the path of the module that made a tensor, or where its forward is written; an empty string if none did."""
        known, module = self.made_by.get(id(outputs), (lambda: None, self.model))
        return (self.path([module]) or definition(module, "forward")) if known() is outputs else ""


def is_same(one: Any, other: Any) -> bool:
    return is_dense(one) and is_dense(other) and one.shape == other.shape and torch.equal(one, other)

"""What the functions and modules of a step are told: losses, dropout, batch norm, backward; and what losses are given."""

import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torchmetrics import Metric, MetricCollection

from <<cookiecutter.package>>.engine.checks.findings import Finding, definition, running

FOR_CLASSES = {F.cross_entropy, F.nll_loss}
FOR_NUMBERS = {F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss}
LOSSES = FOR_CLASSES | FOR_NUMBERS | {F.binary_cross_entropy_with_logits}
DROPOUTS = {F.dropout, F.alpha_dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.feature_alpha_dropout}
LAYERS = {F.linear, torch.conv1d, torch.conv2d, torch.conv3d}
BACKWARD = {Tensor.backward, torch.autograd.backward}
VIEWS = ("View", "Squeeze", "Unsqueeze", "ToCopy", "Transpose", "Permute", "Select", "Clamp", "UnsafeView", "Reshape")


@dataclass
class Loss:
    """A call of a loss function of torch."""

    function: Any
    outputs: Tensor
    targets: Tensor
    ignored: int
    place: str

    @property
    def made_by(self) -> str:
        """The operation that made the outputs, views and casts aside, as `AddmmBackward`."""
        node = self.outputs.grad_fn
        while node is not None and node.name().startswith(VIEWS):
            node = node.next_functions[0][0]
        return "" if node is None else node.name().rstrip("0123456789")


@dataclass
class Entry:
    """The first call, from outside of any module, of a module with parameters."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


class CallWatch(TorchFunctionMode):
    """Sees the calls of torch's functions and of all modules between `start` and `stop`.

    Args:
        model: the whole; when it is compiled nothing is watched, which would compile it once more.
        on_loss: receives each loss before it is computed.
        on_backward: receives what backward is called on, before it runs.
    """

    def __init__(
        self, model: LightningModule, on_loss: Callable[[Loss], None], on_backward: Callable[[Any], None]
    ) -> None:
        super().__init__()
        self.model, self.on_loss, self.on_backward = model, on_loss, on_backward
        # Private: torch has no public name for "compiled by .compile()".
        self.is_compiled = any(getattr(m, "_compiled_call_impl", None) is not None for m in model.modules())
        self.is_compiled |= any(type(m).__name__ == "OptimizedModule" for m in model.modules())
        self.handles: list[Any] = []
        self.entered = False
        self.in_train: set[nn.Module] = set()  # that ran in train mode; in training, with gradients
        self.in_eval: set[nn.Module] = set()
        self.metrics: set[nn.Module] = set()  # that were called as functions
        self.dropped = self.batch_statistics = self.with_gradients = ""  # place of the first
        self.differentiates = False

    def start(self, batch: Any, *, functions: bool = True) -> None:
        """Watch the step of a batch; without `functions` only its modules."""
        self.batch, self.entry, self.num_entries, self.inputs = batch, None, 0, None
        self.losses: list[Loss] = []
        self.made: list[tuple[weakref.ref[Tensor], nn.Module]] = []
        self.stack: list[nn.Module] = []
        self.in_train.clear(), self.in_eval.clear()
        if not self.is_compiled:
            self.handles = [register_module_forward_pre_hook(self.enter_module)]
            self.handles += [register_module_forward_hook(self.leave_module, with_kwargs=True)]
            self.entered = functions
            if functions:
                self.__enter__()

    def stop(self) -> None:
        while self.handles:
            self.handles.pop().remove()
        if self.entered:
            self.entered = False
            self.__exit__(None, None, None)

    def enter_module(self, module: nn.Module, args: Any) -> None:
        self.stack.append(module)

    def leave_module(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        while self.stack and self.stack.pop() is not module:  # one has raised an exception
            pass
        if isinstance(output, Tensor):
            self.made.append((weakref.ref(output), module))
        if isinstance(module, Metric | MetricCollection):
            self.metrics.add(module)
            return
        if torch.is_grad_enabled() or not self.model.training:
            (self.in_train if module.training else self.in_eval).add(module)
        # DistributedDataParallel calls the model, and that calls the step.
        steps = 2 if self.stack and isinstance(self.stack[0], DistributedDataParallel) else 0
        if len(self.stack) == steps and not isinstance(module, DistributedDataParallel) and any(module.parameters()):
            self.num_entries += 1
            self.entry = self.entry or Entry(module, args, kwargs, output)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():
            return func(*args, **kwargs)
        if func in LOSSES:
            outputs, targets = (*args, *kwargs.values())[:2]
            loss = Loss(func, outputs, targets, kwargs.get("ignore_index", -100), running())
            self.losses.append(loss)
            self.on_loss(loss)
        elif func in DROPOUTS:
            if told(args, kwargs, 2, "training", True) and told(args, kwargs, 1, "p", 0.5) > 0:
                self.dropped = self.dropped or running() or "a library"
        elif func is F.batch_norm:
            if told(args, kwargs, 5, "training", False) and told(args, kwargs, 1, "running_mean", None) is not None:
                self.batch_statistics = self.batch_statistics or running() or "a library"
        elif func in LAYERS:
            self.inputs = args[0] if self.inputs is None else self.inputs
            if torch.is_grad_enabled() and args[1].requires_grad:
                self.with_gradients = self.with_gradients or running() or "a library"
        elif func in BACKWARD or func is torch.autograd.grad:
            self.differentiates = True
            if func in BACKWARD:
                self.on_backward(told(args, kwargs, 0, "tensors", None))
        return func(*args, **kwargs)

    def maker(self, tensor: Tensor) -> str:
        """Return the path of the innermost module that has put out a tensor, or an empty string."""
        made = next((module for ref, module in self.made if ref() is tensor), None)
        return next((name for name, m in self.model.named_modules() if m is made), "")

    def judges(self) -> bool:
        """Say whether a loss compares what the model puts out with the labels of the batch."""
        return any(self.entry and loss.outputs is self.entry.output and self.is_label(loss) for loss in self.losses)

    def is_label(self, loss: Loss) -> bool:
        """Say whether the targets of a loss are the labels of the batch, in whatever shape."""
        targets = loss.targets
        same = [x for x in tree_leaves(self.batch) if isinstance(x, Tensor) and x.numel() == targets.numel()]
        return not targets.is_floating_point() and any(
            torch.equal(x.flatten().to(targets.dtype), targets.flatten()) for x in same
        )


def told(args: Any, kwargs: Any, position: int, name: str, default: Any) -> Any:
    """Return an argument of a call, given by position or by name."""
    return kwargs.get(name, args[position] if len(args) > position else default)


def check_targets(loss: Loss, batch: Any) -> Iterator[Finding]:
    """Labels name a class, and numbers are compared one with one. Looked at before the loss is computed: it may fail."""
    outputs, targets = loss.outputs, loss.targets
    shapes = f"{tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}"
    if loss.function in FOR_NUMBERS and outputs.squeeze().shape == targets.squeeze().shape != ():
        if outputs.shape != targets.shape:
            what = f"outputs of shape {shapes} are not compared one with one, but each with each"
            remedy = "give both the same shape, with squeeze(1) or unsqueeze(1)"
            yield Finding("labels", loss.place or "loss", what, remedy=remedy, effect="the model learns the mean target")
    elif loss.function in FOR_CLASSES and not targets.is_floating_point() and outputs.dim() > 1:
        classes = outputs.size(1)
        wrong = targets[((targets < 0) | (targets >= classes)) & (targets != loss.ignored)]
        if len(wrong):
            what = f"{len(wrong)} of {targets.numel()} labels are outside 0 to {classes - 1}: {wrong[0]}"
            if wrong.eq(classes).all() and not targets.eq(0).any():
                what += "; they count from 1"
            yield Finding("labels", loss.place or "loss", what)
        cast = [x for x in tree_leaves(batch) if isinstance(x, Tensor) and x.shape == targets.shape]
        for labels in (x for x in cast if x.is_floating_point() and torch.equal(x.long(), targets)):
            if not torch.equal(labels, labels.round()):
                yield Finding("labels", "train", "labels are no whole numbers, and are made so for the loss")
            elif not any(x.dtype == targets.dtype and torch.equal(x, targets) for x in cast):
                effect = "made integers, labels that differ may become one class"
                yield Finding("labels", "train", f"labels are {labels.dtype}, not integers", "check", effect=effect)


def check_losses(calls: CallWatch, num_classes: int | None) -> Iterator[Finding]:
    """A loss for classes takes logits, one for each class."""
    for loss in calls.losses:
        if not loss.outputs.is_floating_point() or loss.function in FOR_NUMBERS or not loss.outputs.numel():
            continue
        where = calls.maker(loss.outputs) or loss.place or "loss"
        yield from check_logits(loss, where)
        columns = [other.outputs.size(1) for other in calls.losses if other.outputs.dim() > 1]
        used = [other for other in calls.losses if num_classes and other.targets.ge(num_classes).any()]
        for_classes = loss.function in FOR_CLASSES and not loss.targets.is_floating_point()
        if num_classes and for_classes and num_classes not in columns and not used and calls.is_label(loss):
            verdict = None if min(columns) > num_classes else "check"
            what = f"the model gives {columns[0]} logits for {num_classes} classes"
            yield Finding("num_classes", where, what, verdict)


def check_logits(loss: Loss, where: str) -> Iterator[Finding]:
    """No softmax before a loss that applies it, and log_softmax before the one that does not."""
    outputs, made_by = loss.outputs.detach().float(), loss.made_by
    activated = {"SoftmaxBackward": "softmax", "SigmoidBackward": "sigmoid"}.get(made_by)
    is_softmax = outputs.dim() > 1 and bool((outputs >= 0).all() and ((outputs.sum(dim=1) - 1).abs() < 1e-3).all())
    if loss.function is F.nll_loss and outputs.dim() > 1:
        if bool(((outputs.exp().sum(dim=1) - 1).abs() > 0.05).any()):
            what = "nll_loss is given probabilities or logits, not log-probabilities"
            verdict = None if activated or made_by == "AddmmBackward" else "check"
            effect = "the loss falls without limit, or towards -1, and does not measure the right class's probability"
            remedy = "use cross_entropy on the logits, or log_softmax(logits, dim=1) before nll_loss"
            yield Finding("logits", loss.place or "loss", what, verdict, remedy, effect)
    elif activated:
        yield Finding("logits", where, f"{loss.function.__name__} is given the output of {activated}")
    elif loss.function is F.cross_entropy and is_softmax:
        yield Finding("logits", where, "cross_entropy is given numbers that are probabilities already", "check")


def check_first_loss(calls: CallWatch) -> Iterator[Finding]:
    """The first loss is not far above that of a guess; a head that scales its logits on purpose is left alone."""
    for loss in calls.losses[:1]:
        if loss.function is F.cross_entropy and loss.outputs.dim() > 1 and calls.is_label(loss):
            value = F.cross_entropy(loss.outputs.detach().float(), loss.targets, ignore_index=loss.ignored).item()
            guess = math.log(loss.outputs.size(1))
            if 1.5 * guess + 0.5 < value < math.inf and loss.made_by not in ("MulBackward", "DivBackward"):
                what = f"the first loss is {value:.2f}; a guess among {loss.outputs.size(1)} classes has {guess:.2f}"
                yield Finding("first_loss", calls.maker(loss.outputs) or loss.place or "loss", what)


def check_backward(calls: CallWatch, loss: Any) -> Iterator[Finding]:
    """What backward is called on has a gradient. Looked at before: torch's own message does not say why it has none."""
    if isinstance(loss, Tensor) and not loss.requires_grad:
        where = definition(calls.model, "training_step")
        metric = next((m for m in calls.metrics if not getattr(m, "is_differentiable", True)), None)
        if metric is not None:
            name = next((name for name, m in calls.model.named_modules() if m is metric), type(metric).__name__)
            what = f"the loss has no gradient: {name} ({type(metric).__name__}) is a metric, made to be read, not learnt from"
            yield Finding("loss", where, what, remedy="compute the loss with a loss function, such as cross_entropy")
        else:
            yield Finding("loss", where, "the loss has no gradient: no operation leads back from it to a parameter")

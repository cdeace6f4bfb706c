"""What functions and modules are told in a step: losses, dropout, batch norm, backward; and what a loss is given."""

import traceback
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._pytree import tree_leaves
from torchmetrics import Metric, MetricCollection

from <<cookiecutter.package>>.engine.checks.data import inputs_and_labels
from <<cookiecutter.package>>.engine.checks.findings import Finding, definition, running

FOR_CLASSES = {F.cross_entropy, F.nll_loss}
FOR_NUMBERS = {F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss}
LOSSES = FOR_CLASSES | FOR_NUMBERS | {F.binary_cross_entropy_with_logits}
DROPOUTS = {F.dropout, F.alpha_dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.feature_alpha_dropout}
LAYERS = {F.linear, torch.conv1d, torch.conv2d, torch.conv3d}
BACKWARD = {Tensor.backward, torch.autograd.backward}
WATCHED = LOSSES | DROPOUTS | LAYERS | BACKWARD | {F.batch_norm, torch.autograd.grad}
VIEWS = ("View", "Squeeze", "Unsqueeze", "ToCopy", "Transpose", "Permute", "Select", "Clamp", "UnsafeView")


class Loss(NamedTuple):
    """A call of a loss function of torch."""

    function: Any
    outputs: Tensor
    targets: Tensor
    options: dict[str, Any]
    place: str

    @property
    def for_classes(self) -> bool:
        return self.function in FOR_CLASSES and self.outputs.dim() > 1 and not self.targets.is_floating_point()

    @property
    def made_by(self) -> str:
        """The operation that made the outputs, views and casts aside, as `AddmmBackward`."""
        node = self.outputs.grad_fn
        while node is not None and node.name().startswith(VIEWS):
            node = node.next_functions[0][0]
        return "" if node is None else node.name().rstrip("0123456789")


class Entry(NamedTuple):
    """The first call, from outside of any module, of a module with parameters."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


class CallWatch(torch.overrides.TorchFunctionMode):
    """Sees the calls of torch's functions and of all modules between `start` and `stop`.

    Args:
        model: the whole.
        report: receives what must be said before torch fails on it.
        before_backward: receives, in training, what backward is called on.
    """

    def __init__(self, model: LightningModule, report: Any = None, before_backward: Any = None) -> None:
        super().__init__()
        self.model, self.report, self.before_backward = model, report, before_backward
        # Private: torch has no other sign of a module that is compiled in place. Watching would compile it once more.
        self.is_compiled = any(getattr(m, "_compiled_call_impl", None) is not None for m in model.modules())
        self.is_compiled |= any(type(m).__name__ == "OptimizedModule" for m in model.modules())
        self.handles: list[Any] = []
        self.has_mode = self.differentiates = False
        self.dropped = self.batch_statistics = self.with_gradients = ""  # place of the first
        self.metrics: dict[int, nn.Module] = {}  # that were called as functions, by id: a metric is equal to anything

    def start(self, batch: Any, *, functions: bool = True) -> None:
        """Watch the step of a batch; without `functions` only its modules."""
        self.batch, self.entry, self.num_entries, self.inputs = batch, None, 0, None
        self.losses, self.stack = list[Loss](), list[nn.Module]()
        self.made: list[tuple[weakref.ref[Tensor], nn.Module]] = []
        self.in_train, self.in_eval = set[nn.Module](), set[nn.Module]()  # that ran so; in training, with gradients
        if not self.is_compiled:
            self.handles = [register_module_forward_pre_hook(lambda module, args: self.stack.append(module))]
            self.handles += [register_module_forward_hook(self.after_call, with_kwargs=True)]
            self.has_mode = functions
            if functions:
                self.__enter__()

    def stop(self) -> None:
        while self.handles:
            self.handles.pop().remove()
        self.stop_functions()

    def stop_functions(self) -> None:
        if self.has_mode:
            self.has_mode = False
            self.__exit__(None, None, None)

    def after_call(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        while self.stack and self.stack.pop() is not module:  # one has raised an exception
            pass
        if isinstance(output, Tensor):
            self.made.append((weakref.ref(output), module))
        if isinstance(module, (Metric, MetricCollection)):
            self.metrics[id(module)] = module
        elif torch.is_grad_enabled() or not self.model.training:
            (self.in_train if module.training else self.in_eval).add(module)
        # DistributedDataParallel calls the model, and that calls the step.
        outside = 2 if self.stack and isinstance(self.stack[0], nn.parallel.DistributedDataParallel) else 0
        is_outer = len(self.stack) == outside and not isinstance(module, nn.parallel.DistributedDataParallel)
        if is_outer and any(True for _ in module.parameters()):
            again = self.entry and self.entry.args and args and args[0] is self.entry.args[0]  # the same samples
            self.num_entries += not again
            self.entry = self.entry or Entry(module, args, kwargs, output)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not torch.compiler.is_compiling() and func in WATCHED:
            self.before_function(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))

    def before_function(self, func: Any, args: Any, kwargs: Any) -> None:
        def told(position: int, name: str, default: Any) -> Any:
            return kwargs.get(name, args[position] if len(args) > position else default)

        if func in LOSSES:
            options = {name: value for name, value in kwargs.items() if name not in ("input", "target")}
            place = self.path(self.stack[-1:]) or running() or "loss"
            self.losses.append(Loss(func, told(0, "input", None), told(1, "target", None), options, place))
            if self.report is not None:
                self.report(check_targets(self.losses[-1], self.batch))
        elif func in DROPOUTS and told(2, "training", True) and told(1, "p", 0.5) > 0:
            self.dropped = self.dropped or running() or "a library"
        elif func is F.batch_norm and told(5, "training", False) and told(1, "running_mean", None) is not None:
            self.batch_statistics = self.batch_statistics or running() or "a library"
        elif func in LAYERS:
            self.inputs = told(0, "input", None) if self.inputs is None else self.inputs
            if torch.is_grad_enabled() and told(1, "weight", None).requires_grad:
                self.with_gradients = self.with_gradients or running() or "a library"
        elif func in BACKWARD or func is torch.autograd.grad:
            self.differentiates = True
            if func in BACKWARD and self.before_backward is not None:
                losses = [x for x in tree_leaves(told(0, "tensors", None)) if isinstance(x, Tensor)]
                self.report(check_backward(self, losses))
                self.before_backward(losses)

    def path(self, modules: list[nn.Module]) -> str:
        """Return the path of the first of some modules, an empty string for the model itself and for none."""
        return next((name for name, m in self.model.named_modules() if m is modules[0]), "") if modules else ""

    def maker(self, loss: Loss) -> str:
        """Return the path of the innermost module that has put out what a loss is given, or where the loss is called."""
        return self.path([module for ref, module in self.made if ref() is loss.outputs][:1]) or loss.place

    def functions(self) -> set[str]:
        """Return the names of the metrics that were called for the value of a batch."""
        return {n for n, m in self.model.named_modules() if id(m) in self.metrics} if self.metrics else set()

    def on_labels(self) -> list[Loss]:
        """Return the losses for classes whose targets are the labels of the batch, in whatever shape."""
        leaves = [x for x in tree_leaves(self.batch) if isinstance(x, Tensor)]
        return [loss for loss in self.losses if loss.for_classes and any(is_same(x, loss.targets) for x in leaves)]

    def judges(self) -> bool:
        """Say whether a loss compares what the model puts out with the labels of the batch."""
        return any(self.entry is not None and loss.outputs is self.entry.output for loss in self.on_labels())


def is_same(one: Tensor, other: Tensor) -> bool:
    return one.numel() == other.numel() and torch.equal(one.flatten().to(other.dtype), other.flatten())


def check_targets(loss: Loss, batch: Any) -> Iterator[Finding]:
    """Labels name a class, and numbers are compared one with one. Looked at before the loss is computed: it may fail."""
    outputs, targets = loss.outputs, loss.targets
    shape = outputs.shape[:1] + outputs.shape[2:]  # of labels
    is_index = targets.shape == shape and targets.dtype in (torch.int64, torch.uint8)
    fits = is_index or (targets.shape == outputs.shape and targets.is_floating_point())
    alike = outputs.squeeze().shape == targets.squeeze().shape != ()
    if loss.function in FOR_NUMBERS and alike and outputs.shape != targets.shape:
        what = f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} are compared each with each"
        remedy, effect = "give both one shape, with squeeze(1) or unsqueeze(1)", "the model learns the targets' mean"
        yield Finding("labels", loss.place, what, None, remedy, effect)
    elif loss.function in FOR_CLASSES and outputs.dim() > 1 and not fits:
        yield Finding("labels", loss.place, f"labels are {targets.dtype} {[*targets.shape]}, not int64 {[*shape]}")
    elif loss.for_classes:
        classes = outputs.size(1)
        wrong = targets[((targets < 0) | (targets >= classes)) & (targets != loss.options.get("ignore_index", -100))]
        if len(wrong):
            what = f"{len(wrong)} of {targets.numel()} labels are outside 0 to {classes - 1}, such as {wrong[0]}"
            from_one = wrong.eq(classes).all() and not targets.eq(0).any()
            yield Finding("labels", loss.place, what + ("; they seem to count from 1" if from_one else ""))
        same = [x for x in tree_leaves(batch) if isinstance(x, Tensor) and is_same(x, targets)]
        if same and all(x.is_floating_point() for x in same):
            certain = not torch.equal(same[0], same[0].round())
            yield Finding("labels", "train", f"labels are {same[0].dtype}, not integers", None if certain else "check")


def check_failed(calls: CallWatch, error: BaseException) -> Iterator[Finding]:
    """A metric of torchmetrics that fails on a batch is given labels that no loss takes; its own message does not say so."""
    output, labels = calls.entry and calls.entry.output, inputs_and_labels(calls.batch)[1]
    in_metric = "torchmetrics" in "".join(traceback.format_tb(error.__traceback__))
    if in_metric and isinstance(output, Tensor) and isinstance(labels, Tensor) and output.shape[:1] == labels.shape[:1]:
        where = definition(calls.model, "validation_step", "training_step")
        yield from check_targets(Loss(F.cross_entropy, output, labels, {}, where), calls.batch)


def check_losses(calls: CallWatch, num_classes: int) -> Iterator[Finding]:
    """A loss for classes takes logits, one for each class, if their number is known: not 0."""
    for loss in calls.losses:
        if loss.function not in FOR_NUMBERS and loss.outputs.numel():
            yield from check_logits(loss, calls.maker(loss))
    columns = [loss.outputs.size(1) for loss in calls.losses if loss.for_classes]
    more = any(loss.targets.ge(num_classes).any() for loss in calls.losses)
    for loss in calls.on_labels()[: 0 if num_classes in (0, *columns) or more else 1]:
        what = f"the model gives {columns[0]} logits for {num_classes} classes"
        yield Finding("num_classes", calls.maker(loss), what, None if min(columns) > num_classes else "check")


def check_logits(loss: Loss, where: str) -> Iterator[Finding]:
    """No softmax before a loss that applies it, and log_softmax before the one that does not."""
    outputs = loss.outputs.detach().float()
    sums = (outputs.exp() if loss.function is F.nll_loss else outputs).sum(dim=min(1, outputs.dim() - 1))
    activated = {"SoftmaxBackward": "softmax", "SigmoidBackward": "sigmoid"}.get(loss.made_by)
    if loss.function is F.nll_loss and bool(((sums - 1).abs() > 0.05).any()):
        what, effect = "nll_loss is given no log-probabilities", "it does not measure the probability of a class"
        remedy = "use cross_entropy on the logits, or log_softmax(logits, dim=1) before nll_loss"
        certain = activated or loss.made_by == "AddmmBackward"
        yield Finding("logits", loss.place, what, None if certain else "check", remedy, effect)
    elif activated and loss.function is not F.nll_loss:
        yield Finding("logits", where, f"{loss.function.__name__} is given the output of {activated}")
    elif loss.function is F.cross_entropy and bool((outputs >= 0).all() and ((sums - 1).abs() < 1e-3).all()):
        yield Finding("logits", where, "cross_entropy is given numbers that look like probabilities", "check")


def check_backward(calls: CallWatch, losses: list[Tensor]) -> Iterator[Finding]:
    """What backward is called on has a gradient. Looked at before: torch's own message does not say why it has none."""
    if losses and not losses[0].requires_grad:
        metric = [m for m in calls.metrics.values() if not getattr(m, "is_differentiable", True)]
        what = "the loss has no gradient" + (f": {type(metric[0]).__name__} is a metric and has none" if metric else "")
        remedy = "learn from a loss function, such as cross_entropy; a metric is only read" if metric else None
        yield Finding("loss", definition(calls.model, "training_step"), what, remedy=remedy)

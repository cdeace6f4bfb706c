"""What a look at a model shows, at its source and at its schedulers: layers that hide, modes, calls of forward, lengths."""

import ast
import math
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from types import FunctionType, MethodType
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm
from torch.optim import lr_scheduler as lrs

from <<cookiecutter.package>>.engine.checks.findings import Finding, calls_of, definition, is_owners, source_file

NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
CONTAINERS = (list, tuple, set, frozenset, deque, dict)
OF_LIBRARIES = {*vars(LightningModule()), *vars(nn.Module())}  # attributes that are not the owner's
MOST = 1000  # items of a container that are looked at


def check_called(model: LightningModule) -> Iterator[Finding]:
    """A module is called as model(x). Found in the source, so that code counts that has not run yet."""
    for where, call in calls_of(model, "forward"):
        receiver = call.func.value  # type: ignore[attr-defined]
        is_super = isinstance(receiver, ast.Call) and getattr(receiver.func, "id", "") == "super"
        of_parent = bool(call.args) and getattr(call.args[0], "id", "") == "self"  # Parent.forward(self, x)
        if not is_super and not of_parent:
            yield Finding("called", where, f"{ast.unparse(call.func)} is called directly")


def check_empty(model: LightningModule) -> Iterator[Finding]:
    """A model without parameters has them where nn.Module does not look. The optimizer would not say so."""
    if not any(True for _ in model.parameters()) and not is_overridden("configure_model", model):
        for path, tensor in hidden(model):
            if isinstance(tensor, nn.Parameter):
                name = path.partition(".")[0]
                yield Finding("registered", name, f"the model has no parameters: its layers are in {name}, out of sight")
                return


def check_registered(
    model: LightningModule, losses: list[Tensor], optimized: set[int], at_start: list[Tensor]
) -> Iterator[Finding]:
    """The parameters that a loss leads back to are known to the model.

    Args:
        model: the whole.
        losses: what backward is called on.
        optimized: ids of what an optimizer holds.
        at_start: tensors that lay in plain attributes when training began; what is made later is no parameter.
    """
    registered = {id(p) for p in model.parameters()}
    unknown = [leaf for loss in losses for leaf in leaves(loss) if id(leaf) not in registered]
    paths = {id(tensor): path for path, tensor in hidden(model)} if unknown else {}
    kept = {id(tensor) for tensor in at_start}
    for leaf in unknown:
        is_parameter, path = isinstance(leaf, nn.Parameter), paths.get(id(leaf))
        what = f"the loss depends on a parameter of shape {tuple(leaf.shape)} that is no parameter of the model"
        if path and id(leaf) in optimized:
            what = f"{path} is trained, and is no parameter of the model"
            yield Finding("registered", path, what, "check", effect="it is not saved, and not moved to the GPU")
        elif path and (is_parameter or id(leaf) in kept):
            remedy = "if it is not meant to be trained: requires_grad_(False)" if not is_parameter else None
            yield Finding("registered", path, f"{what}: {path}", None if is_parameter else "check", remedy)
        elif is_parameter and id(leaf) not in optimized and any(id(end) in registered for end in leaves(losses[0])):
            where = definition(model, "forward", "training_step")
            yield Finding("registered", where, f"{what}, but made anew in each batch", "check")


def leaves(loss: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that a loss hands gradients to."""
    nodes, seen = [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):
                yield node.variable
            nodes += [following for following, _ in node.next_functions]


def hidden(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield path and value of the tensors and modules in plain attributes, and of the parameters in such modules.

    A module in eval mode is left out: somebody keeps it apart, such as a teacher.
    """
    for name, module in model.named_modules():
        owned = [kind for kind in type(module).__mro__ if is_owners(source_file(kind))]
        for attribute, value in [*vars(module).items(), *(item for kind in owned for item in vars(kind).items())]:
            if attribute not in OF_LIBRARIES and not attribute.startswith("__"):
                yield from values_in(value, f"{name}.{attribute}".lstrip("."))


def values_in(value: Any, path: str, depth: int = 5) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, nn.Module):
        for name, m in value.named_modules():
            if m.training:
                inside = f"{path}.{name}".rstrip(".")
                yield inside, m
                yield from ((f"{inside}.{key}", p) for key, p in m.named_parameters(recurse=False))
    elif depth:
        items: Any = value if isinstance(value, CONTAINERS) else {}
        if isinstance(value, partial):
            items = {"func": value.func, "args": value.args, "keywords": value.keywords}
        elif isinstance(value, FunctionType):
            items = dict(zip(value.__code__.co_freevars, (c.cell_contents for c in value.__closure__ or ()), strict=True))
            items.pop("self", None)
        elif hasattr(value, "__dict__") and not isinstance(value, type | MethodType) and is_owners(source_file(type(value))):
            items = vars(value)
        for key, item in islice(items.items() if isinstance(items, Mapping) else enumerate(items), MOST):
            yield from values_in(item, f"{path}.{key}", depth - 1)


def check_train_mode(model: LightningModule, in_train: set[Any], in_eval: set[Any], trained: set[int]) -> Iterator[Finding]:
    """What trains runs in train mode.

    Args:
        model: the whole.
        in_train: modules that ran with gradients in train mode, in this batch.
        in_eval: the same in eval mode; an attack on the inputs may run so, before training does.
        trained: ids of the parameters that an optimizer holds and that receive gradients.
    """
    for name, m in model.named_modules():
        if not isinstance(m, NORMS + DROPOUTS) or m not in in_eval - in_train or getattr(m, "p", 1) == 0:
            continue
        outer = name
        while outer and m.training is model.get_submodule(outer.rpartition(".")[0]).training:
            outer = outer.rpartition(".")[0]
        alone = outer == name  # of a norm only the statistics are frozen, as is usual with small batches
        part = model.get_submodule(name.rpartition(".")[0] if alone else outer)
        if any(id(p) in trained for p in part.parameters()) and not (alone and isinstance(m, NORMS)):
            calls = [f"{ast.unparse(call.func)}() in {place}" for place, call in calls_of(model, "eval")]
            remedy = f"leave out {', '.join(calls)}, or call .train() after it" if calls else None
            what = f"{outer or 'the model'} ({type(model.get_submodule(outer)).__name__}) trains in eval mode"
            yield Finding("train_mode", outer or type(model).__name__, what, "check" if alone else None, remedy)
            return


def check_frozen(model: LightningModule, in_train: set[Any], moving: set[str]) -> Iterator[Finding]:
    """A batch norm that is frozen is in eval mode; one whose weights are an average of others is not frozen."""
    for name, m in model.named_modules():
        if isinstance(m, NORMS) and m in in_train and m.affine and m.track_running_stats:
            if not m.weight.requires_grad and f"{name}.weight" not in moving:
                what = f"{name} ({type(m).__name__}) is frozen, and in train mode"
                effect = "its running statistics go on changing: the frozen features are others in every step"
                yield Finding("train_mode", name, what, "check", "call .eval() on it in on_train_epoch_start", effect)
                return


# The attribute that holds the length of a scheduler of torch, named as its argument.
LENGTHS = {lrs.OneCycleLR: "total_steps", lrs.CosineAnnealingLR: "T_max", lrs.PolynomialLR: "total_iters"}
LENGTHS |= {lrs.LinearLR: "total_iters", lrs.StepLR: "step_size", lrs.MultiStepLR: "milestones"}
TRIAL = 4  # optimizer steps: a run this short only tries whether the code works


def check_schedules(trainer: Trainer) -> Iterator[Finding]:
    """Compare the steps that Lightning will make with those that each scheduler was built for."""
    model: Any = trainer.lightning_module
    steps, epochs = trainer.estimated_stepping_batches, trainer.max_epochs or -1
    if not model.automatic_optimization or is_overridden("lr_scheduler_step", model) or epochs < 0 or steps == math.inf:
        return
    for config in trainer.lr_scheduler_configs:
        if config.interval in ("step", "epoch") and steps > TRIAL:
            makes, other = (steps, epochs)[:: 1 if config.interval == "step" else -1]
            yield from check_length(config.scheduler, int(makes) // config.frequency, int(other), trainer)


def check_stepped(trainer: Trainer, before: list[Any]) -> Iterator[Finding]:
    """After the first epoch of manual optimization: the model steps its schedulers, as often as they were built for."""
    epochs, batches = trainer.max_epochs or -1, trainer.num_training_batches
    for config, start in zip(trainer.lr_scheduler_configs, before, strict=False):
        now = getattr(config.scheduler, "last_epoch", None)
        if now is not None and now == start:
            what = f"{type(config.scheduler).__name__} was not stepped in the first epoch: in manual optimization you step it"
            remedy = "call self.lr_schedulers().step() in training_step or in on_train_epoch_end"
            yield Finding("schedule", scheduler_place(trainer), what, "check", remedy)
        elif now is not None and epochs > 0 and batches < math.inf:
            makes = (now - start) * epochs
            yield from check_length(config.scheduler, makes, epochs if now - start > 1 else epochs * int(batches), trainer)


def check_length(scheduler: Any, makes: int, other: int, trainer: Trainer) -> Iterator[Finding]:
    """Compare a scheduler's length with the steps it makes in a run, and would make at the other interval."""
    name = LENGTHS.get(type(scheduler), "")
    value = getattr(scheduler, name, 0)
    built_for = max(value, default=0) if name == "milestones" else value
    mixed_up = 0.9 * other <= built_for <= 1.1 * other and not 0.25 <= built_for / max(makes, 1) <= 4
    once = isinstance(scheduler, lrs.OneCycleLR | lrs.CosineAnnealingLR)
    if built_for and (mixed_up or makes < 0.9 * built_for or (once and makes > 1.1 * built_for + 1)):
        what = f"{type(scheduler).__name__} was built for {built_for} steps, and makes {makes} in this run"
        yield Finding(
            "schedule", scheduler_place(trainer), what, None if mixed_up else "check", None if mixed_up else f"{name}={makes}"
        )


def scheduler_place(trainer: Trainer) -> str:
    model: Any = trainer.lightning_module
    own = "configure_optimizers" in vars(type(model)) or not model.hparams.get("scheduler")
    return definition(model, "configure_optimizers") if own else "scheduler"

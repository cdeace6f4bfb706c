"""What a look at a model shows, at its source and at its schedulers: layers that hide, modes, calls of forward, lengths."""

import ast
import math
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from types import FunctionType
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import lr_scheduler as lrs

from .calls import CallWatch
from .findings import Finding, calls_of, definition, is_owners, source_file
from .steps import StepWatch

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
PLAIN = {bool, int, float, str, type(None)}
OF_LIBRARIES = {*vars(LightningModule()), *vars(nn.Module())}  # attributes that are not the owner's

# The attribute that holds the length of a scheduler of torch, named as its argument.
LENGTHS = {lrs.OneCycleLR: "total_steps", lrs.CosineAnnealingLR: "T_max", lrs.PolynomialLR: "total_iters"}
LENGTHS |= {lrs.LinearLR: "total_iters", lrs.StepLR: "step_size", lrs.MultiStepLR: "milestones"}
SMOKE = 4  # optimizer steps: a run this short only tries whether the code works


def check_called(model: LightningModule) -> Iterator[Finding]:
    """A module is called as model(x). Found in the source, so that code counts that has not run yet."""
    for where, call in calls_of(model, "forward"):
        if not (function := ast.unparse(call.func)).startswith("super("):
            yield Finding("called", where, f"{function} is called directly")


def check_empty(model: LightningModule) -> Iterator[Finding]:
    """A model without parameters may have them where nn.Module does not look. The optimizer would not say so."""
    if not any(True for _ in model.parameters()) and not is_overridden("configure_model", model):
        for path in [path for path, value in hidden(model) if path and isinstance(value, nn.Parameter)][:1]:
            name = path.partition(".")[0]
            yield Finding("registered", name, f"the model has no parameters: its layers are in {name}, out of sight")


def check_registered(watch: StepWatch, losses: list[Tensor], at_start: list[Tensor]) -> Iterator[Finding]:
    """The parameters that a loss leads back to are known to the model.

    Args:
        watch: has the model and its optimizers.
        losses: what backward is called on.
        at_start: tensors that lay in plain attributes when training began; what is made later is no parameter.
    """
    ends, optimized = [leaf for loss in losses for leaf in leaves(loss)], watch.held()
    unknown = [leaf for leaf in ends if id(leaf) not in watch.names]
    paths = {id(value): path for path, value in hidden(watch.model)} if unknown else {}
    for leaf in unknown:
        is_parameter, path = isinstance(leaf, nn.Parameter), paths.get(id(leaf))
        what = f"the loss depends on {path or 'a parameter'} {tuple(leaf.shape)}, that the model does not know"
        if path and id(leaf) in optimized:
            yield Finding("registered", path, what, "check", effect="it is trained, and not saved or moved to the GPU")
        elif path and (is_parameter or any(leaf is value for value in at_start)):
            yield Finding("registered", path, what, None if is_parameter else "check")
        elif is_parameter and path is None and id(leaf) not in optimized and len(unknown) < len(ends):
            yield Finding("registered", definition(watch.model, "forward"), what + ": it is made there", "check")


def leaves(loss: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that a loss hands gradients to."""
    nodes, seen = [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
            if hasattr(node, "variable"):
                yield node.variable


def hidden(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield path and value of the tensors and modules in plain attributes, and of the parameters in such modules.

    The path is empty for a module in eval mode: somebody keeps it aside, such as a teacher.
    """
    for name, module in model.named_modules():
        owned = [kind for kind in type(module).__mro__ if is_owners(source_file(kind))]
        for attribute, value in [*vars(module).items(), *(item for kind in owned for item in vars(kind).items())]:
            if attribute not in OF_LIBRARIES and type(value) not in PLAIN and not attribute.startswith("__"):
                yield from values_in(value, f"{name}.{attribute}".lstrip("."))


def values_in(value: Any, path: str, depth: int = 5) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, nn.Module):
        for name, m in value.named_modules():
            inside = f"{path}.{name}".rstrip(".") if m.training else ""
            yield inside, m
            yield from ((inside and f"{inside}.{key}", p) for key, p in m.named_parameters(recurse=False))
    elif depth and type(value) not in PLAIN:
        items: Any = enumerate(value) if isinstance(value, (list, tuple, set, frozenset, deque)) else ()
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, partial):
            items = enumerate([value.func, *value.args, *value.keywords.values()])
        elif isinstance(value, FunctionType):
            cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
            items = [(name, cell.cell_contents) for name, cell in cells if name not in ("self", "__class__")]
        elif is_owners(source_file(type(value))) and hasattr(value, "__dict__"):
            items = vars(value).items()
        for key, item in islice(items, 1000):
            yield from values_in(item, f"{path}.{key}", depth - 1)


def check_train_mode(watch: StepWatch, calls: CallWatch) -> Iterator[Finding]:
    """What trains runs in train mode in each batch; an attack on the inputs may run in eval mode before."""
    model, trained, idle = watch.model, watch.received & watch.held(), calls.in_eval - calls.in_train
    for name, m in model.named_modules() if idle else ():
        if not isinstance(m, NORMS + DROPOUTS) or m not in idle or getattr(m, "p", 1) == 0:
            continue
        outer = name
        while outer and not model.get_submodule(outer.rpartition(".")[0]).training:
            outer = outer.rpartition(".")[0]
        alone = outer == name  # of a norm only the statistics are frozen then, as is usual with small batches
        part = model.get_submodule(name.rpartition(".")[0] if alone else outer)
        if any(id(p) in trained for p in part.parameters()) and not (alone and isinstance(m, NORMS)):
            evals = [f"{ast.unparse(call.func)}() in {place}" for place, call in calls_of(model, "eval")]
            remedy = f"leave out {' or '.join(evals)}, or call .train() after it" if evals else None
            what = f"{outer or 'the model'} ({type(model.get_submodule(outer)).__name__}) trains in eval mode"
            yield Finding("train_mode", outer or type(model).__name__, what, "check" if alone else None, remedy)
            return


def check_frozen(watch: StepWatch, calls: CallWatch) -> Iterator[Finding]:
    """A batch norm that is frozen is in eval mode; one whose weights are an average of others is not frozen."""
    norms = [(name, m) for name, m in watch.model.named_modules() if isinstance(m, NORMS) and m in calls.in_train]
    frozen = [(name, m) for name, m in norms if m.affine and m.track_running_stats and not m.weight.requires_grad]
    for name, m in [(name, m) for name, m in frozen if f"{name}.weight" not in watch.changed()][:1]:
        effect, remedy = "its running statistics go on changing", "call .eval() on it in on_train_epoch_start"
        what = f"{name} ({type(m).__name__}) is frozen, and in train mode"
        yield Finding("train_mode", name, what, "check", remedy, effect)


def check_schedules(trainer: Trainer) -> Iterator[Finding]:
    """The steps that Lightning will make are those that each scheduler was built for."""
    steps, epochs = trainer.estimated_stepping_batches, trainer.max_epochs or -1
    if epochs > 0 and SMOKE < steps < math.inf and not is_overridden("lr_scheduler_step", trainer.lightning_module):
        for config in trainer.lr_scheduler_configs if trainer.lightning_module.automatic_optimization else []:
            makes, other = (steps, epochs) if config.interval == "step" else (epochs, steps)
            yield from check_length(config.scheduler, int(makes) // config.frequency, int(other), trainer)


def check_stepped(trainer: Trainer, before: list[Any]) -> Iterator[Finding]:
    """After the first epoch of manual optimization: the model steps its schedulers, as often as they were built for."""
    epochs, batches = trainer.max_epochs or -1, trainer.num_training_batches
    for config, start in zip(trainer.lr_scheduler_configs, before, strict=False):
        made = getattr(config.scheduler, "last_epoch", math.nan) - start
        if made == 0:
            what = f"{type(config.scheduler).__name__} was not stepped in the first epoch; in manual optimization you do it"
            remedy = "call self.lr_schedulers().step() in training_step or in on_train_epoch_end"
            yield Finding("schedule", schedule_place(trainer), what, "check", remedy)
        elif made > 0 and epochs > 0 and batches < math.inf:
            other = epochs * (1 if made > 1 else int(batches))
            yield from check_length(config.scheduler, made * epochs, other, trainer)


def check_length(scheduler: Any, makes: int, other: int, trainer: Trainer) -> Iterator[Finding]:
    """Compare a scheduler's length with the steps it makes in a run, and would make at the other interval."""
    name = LENGTHS.get(type(scheduler), "")
    length: Any = getattr(scheduler, name, 0)
    length = max(length, default=0) if name == "milestones" else length
    mixed_up = 0.9 * other <= length <= 1.1 * other and not 0.25 <= length / max(makes, 1) <= 4
    once = isinstance(scheduler, lrs.OneCycleLR | lrs.CosineAnnealingLR)
    if length and (mixed_up or makes < 0.9 * length or (once and makes > 1.1 * length + 1)):
        what = f"{type(scheduler).__name__} was built for {length} steps, and makes {makes} in this run"
        verdict, remedy = (None, None) if mixed_up else ("check", f"build it for this run: {name}={makes}")
        yield Finding("schedule", schedule_place(trainer), what, verdict, remedy)


def schedule_place(trainer: Trainer) -> str:
    model: Any = trainer.lightning_module
    from_config = model.hparams.get("scheduler") and "configure_optimizers" not in vars(type(model))
    return "scheduler" if from_config else definition(model, "configure_optimizers")

"""Which modules train in train mode, and which do not."""

import inspect
from collections.abc import Iterator

from lightning import LightningModule
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from .calls import CallWatch
from .checksums import checksums
from .finding import Finding


def reads_mode(module: nn.Module) -> bool:
    """Say whether train and eval mode differ in a module itself, its children aside."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.track_running_stats or isinstance(module, nn.modules.batchnorm._BatchNorm)
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    code = getattr(inspect.unwrap(inspect.getattr_static(type(module), "forward")), "__code__", None)
    return bool(code) and not type(module).__module__.startswith("torch.") and "training" in code.co_names


def check_modes(model: LightningModule, calls: CallWatch, at_first: dict[int, int]) -> Iterator[Finding]:
    """(4) What trains is in train mode; a normalisation layer that is frozen is in eval mode.

    Args:
        model: the whole.
        calls: how its modules were called.
        at_first: checksum of each parameter before the first step. One that changes without gradients is averaged.
    """
    seen = {name: calls.modules[id(m)] for name, m in model.named_modules() if id(m) in calls.modules}
    trained = {
        in_eval_mode(model, name)
        for name, (module, how) in seen.items()
        if how.in_eval and (how.trainable or (reads_mode(module) and not is_frozen(model, name, calls)))
    }
    matters = any(
        how.in_eval and reads_mode(m) and not is_frozen(model, name, calls) for name, (m, how) in seen.items()
    )
    for name in sorted(trained) if matters else []:
        yield Finding(
            "train_mode",
            name or type(model).__name__,
            f"{name or 'the model'} ({type(model.get_submodule(name)).__name__}) trains in eval mode",
            "dropout drops nothing, and batch norm uses running statistics that it does not update",
            "leave out .eval(), or call .train(); what is to stay frozen needs requires_grad_(False) as well",
        )
    for name, (module, how) in seen.items():
        normalises = isinstance(module, _NormBase) and module.running_mean is not None
        frozen = normalises and how.in_train and not how.trainable and is_frozen(model, name, calls)
        part = module if any(True for _ in module.parameters()) else model.get_submodule(name.rpartition(".")[0])
        now = checksums({id(p): p for p in part.parameters()}) if frozen else {}
        if frozen and all(at_first.get(key) == bits for key, bits in now.items()):
            yield Finding(
                "train_mode",
                name,
                f"{name} ({type(module).__name__}) is frozen, and in train mode",
                "its running statistics go on changing: the frozen features are others in every step, and in evaluation",
                "call .eval() on the frozen part in on_train_epoch_start: Lightning does not call train() before training",
            )
            return


def in_eval_mode(model: nn.Module, name: str) -> str:
    """Return the path of the outermost module around this one that is in eval mode too, an empty one for the model."""
    while name and not model.get_submodule(parent := name.rpartition(".")[0]).training:
        name = parent
    return name


def is_frozen(model: nn.Module, name: str, calls: CallWatch) -> bool:
    """Say whether a module, or for one without parameters the part of the model around it, has only frozen ones."""
    while True:
        part = model.get_submodule(name)
        inside = [m for m in part.modules() if any(True for _ in m.parameters(recurse=False))]
        if inside or not name:
            trained = {key for key, (_, seen) in calls.modules.items() if seen.trainable}
            asked = any(p.requires_grad for p in part.parameters())
            return bool(inside) and not asked and not any(id(m) in trained for m in inside)
        name = name.rpartition(".")[0]

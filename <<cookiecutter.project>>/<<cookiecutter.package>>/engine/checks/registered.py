"""Parameters and modules that hide where nn.Module does not look."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from types import FunctionType, MethodType
from typing import Any

from lightning import LightningModule
from torch import Tensor, nn

from .finding import Finding, definition

MOST = 1000  # items of a container that are looked at
OWN = ("_parameters", "_buffers", "_modules", "_trainer", "_fabric", "_hparams")  # of nn.Module and Lightning
ENGINE = __name__.rpartition(".checks")[0]
PLAIN = (list, tuple, set, frozenset, deque, dict)


def check_registered(model: LightningModule, losses: list[Tensor], met: Any) -> Iterator[Finding]:
    """(1) No parameter that the loss depends on hides where nn.Module does not look.

    Args:
        model: the whole.
        losses: of one backward.
        met: receives tensors that no module knows; a plain one counts when it is met again.
    """
    known = {id(p) for p in model.parameters()}
    unknown = {id(leaf): leaf for loss in losses for leaf in leaves(loss) if id(leaf) not in known}
    again = {key: p for key, p in unknown.items() if isinstance(p, nn.Parameter) or p in met}
    hidden = {id(tensor): path for path, tensor in hidden_tensors(model)} if again else {}
    found = [(hidden.get(key), p) for key, p in again.items() if key in hidden or isinstance(p, nn.Parameter)]
    for p in unknown.values():
        met[p] = True
    for path, p in found[:1]:
        more = f" ({len(found)} parameters in all)" if len(found) > 1 else ""
        yield Finding(
            "registered",
            path or definition(model, "forward", "training_step"),
            f"the loss depends on a parameter of shape {tuple(p.shape)} that the model does not know{more}",
            "it is missing in model.parameters() and in every checkpoint, and does not move to the GPU or into eval mode",
            "use nn.ModuleList, nn.ModuleDict, nn.ParameterList or nn.Parameter, assigned in __init__, "
            "instead of a plain list, dict, tuple or tensor",
        )


def leaves(loss: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that a loss hands gradients to."""
    nodes, seen = [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        nodes += [following for following, _ in node.next_functions]


def hidden_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield path and tensor of all that hides in a model, inside hidden modules too."""
    for path, value in hidden_values(model):
        if isinstance(value, nn.Module):
            yield from ((f"{path}.{name}", p) for name, p in value.named_parameters())
        else:
            yield path, value


def hidden_values(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield path and value of the modules and tensors in plain attributes, containers, closures and class attributes."""
    for name, module in model.named_modules():
        owned = not type(module).__module__.startswith(("torch", "lightning"))
        shared = [item for kind in type(module).__mro__[:2] for item in vars(kind).items()] if owned else []
        for attribute, value in [*vars(module).items(), *shared]:
            if not attribute.startswith("__") and attribute not in OWN:
                yield from values_in(value, f"{name}.{attribute}" if name else attribute)


def values_in(value: Any, path: str, depth: int = 6) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor | nn.Module):
        yield path, value
    elif depth:
        for key, item in contents(value):
            yield from values_in(item, f"{path}{key}", depth - 1)


def contents(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a container, a partial, a closure or an object of the owner's holds."""
    if isinstance(value, PLAIN):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        yield from ((f"[{key!r}]", item) for key, item in islice(items, MOST))
    elif isinstance(value, partial):
        yield from contents([value.func, *value.args, *value.keywords.values()])
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        yield from ((f".{name}", cell.cell_contents) for name, cell in cells if name != "self")
        yield from contents(value.__defaults__ or ())
    elif isinstance(value, MethodType):
        yield ".__self__", value.__self__
    elif hasattr(value, "__dict__") and not type(value).__module__.startswith(
        ("torch", "lightning", "builtins", ENGINE)
    ):
        yield from ((f".{name}", item) for name, item in vars(value).items())

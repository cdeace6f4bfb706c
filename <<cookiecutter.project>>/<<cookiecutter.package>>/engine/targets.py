"""What a config may name as `_target_`, and whether the values beside it fit: a misspelt key is one message, no traceback."""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from <<cookiecutter.package>>.engine.errors import ConfigError

PACKAGE = __name__.partition(".")[0]

# What a config may name as `_target_`: a config can come from elsewhere and must not run any code it likes.
TRUSTED = [f"{PACKAGE}.*", "lightning.Trainer", "lightning.pytorch.*", "torch.nn.*", "torch.optim.*", "torchmetrics.*"]

# Keys of a scheduler block that are for Lightning, not for the scheduler itself.
SCHEDULER_KEYS = {"interval", "frequency", "monitor"}

LISTS = (list, tuple, set, Sequence, Collection, Iterable)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_blocks(cfg: DictConfig) -> None:
    """Raise ConfigError for the first `_target_` that does not exist or would refuse its values."""
    for key, block in blocks(OmegaConf.to_container(cfg, resolve=True), key=""):
        target = str(block["_target_"])
        accepted, open_ended = arguments(find(target, f"{key}._target_: "))
        for name, value in block.items():
            if name.startswith("_") or (key == "scheduler" and name in SCHEDULER_KEYS):
                continue
            if name not in accepted and not open_ended:
                raise ConfigError(
                    f"{key}.{name} is not an argument of {target}{did_you_mean(name, accepted)}\n"
                    f"It takes: {', '.join(accepted)}"
                )
            if name in accepted and not fits(value, accepted[name].annotation):
                raise ConfigError(mismatch(f"{key}.{name}", value, accepted[name].annotation))


def blocks(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every dict with a `_target_` in a plain config, with its key."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, child in node.items():
            yield from blocks(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from blocks(child, f"{key}[{number}]")


def find(target: str, where: str = "") -> Callable[..., Any]:
    """Import the class or function called `target`, as in `torch.optim.AdamW`.

    Raises:
        ConfigError: there is none, or it is not in TRUSTED; `where` begins the message. An error inside a
            module that does exist is passed on as it is.
    """
    if not any(target.startswith(prefix.removesuffix("*")) for prefix in TRUSTED):
        raise ConfigError(f"{where}{target} is not in TRUSTED of {PACKAGE}/engine/targets.py; add it there")
    module_name, _, name = target.rpartition(".")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports another that is not
        raise ConfigError(f"{where}{target} does not exist: there is no module {module_name!r}") from error
    if not hasattr(module, name):
        raise ConfigError(f"{where}{target} does not exist{did_you_mean(name, dir(module))}")
    return getattr(module, name)


def arguments(target: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the named arguments of a class or function, and whether it takes any others as well.

    A `**kwargs` is followed to the `__init__` of the parent class.
    """
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls)]
    accepted: dict[str, inspect.Parameter] = {}
    for function in functions:
        parameters = inspect.signature(function).parameters
        accepted = {name: p for name, p in parameters.items() if p.kind in NAMED and name != "self"} | accepted
        if all(p.kind != p.VAR_KEYWORD for p in parameters.values()):
            return accepted, False
    return accepted, True


def fits(value: Any, annotation: Any) -> bool:
    """Say whether a value has the annotated type, if that is a plain one or a list, or is one of a Literal; others pass."""
    if get_origin(annotation) in (Union, UnionType):
        return any(fits(value, member) for member in get_args(annotation))
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if (get_origin(annotation) or annotation) in LISTS:
        return isinstance(value, list)
    if annotation not in (int, float, str, bool, NoneType):
        return True
    return type(value) is annotation or (type(value) is int and annotation is float)


def mismatch(key: str, value: Any, annotation: Any) -> str:
    """Return what a value must be by its annotation, and what it is."""
    if any((get_origin(kind) or kind) in LISTS for kind in (annotation, *get_args(annotation))):
        return f"{key} must be a list, as {key}=[{'' if value is None else value}]"
    *others, last = dict.fromkeys(kinds(annotation))
    return f"{key} must be {', '.join(others)}{' or ' * bool(others)}{last}, got {value!r}"


def kinds(annotation: Any) -> list[str]:
    """Return the types, or the values of a Literal, that an annotation allows."""
    if get_origin(annotation) in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in kinds(member)]
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return ["null" if annotation is NoneType else inspect.formatannotation(annotation)]


def did_you_mean(name: str, known: Any) -> str:
    """Return `; did you mean ...?` with the nearest of the known names, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""

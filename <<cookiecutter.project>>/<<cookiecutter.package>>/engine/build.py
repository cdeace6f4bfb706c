"""Turn config into objects: a block with a `_target_` becomes what that target returns.

This is the only place that calls Hydra's `instantiate`. Every block is checked against the signature of
its target before anything is built, so that a misspelt key is one message and not a traceback.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import hydra.utils
from hydra.errors import InstantiationException
from lightning import LightningDataModule, LightningModule
from omegaconf import DictConfig, OmegaConf

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.hydra_version import HYDRA_1_3

PACKAGE = __name__.partition(".")[0]

# What a config may name as `_target_`: a config can come from elsewhere and must not run any code it likes.
TRUSTED = [f"{PACKAGE}.*", "lightning.Trainer", "lightning.pytorch.*", "torch.nn.*", "torch.optim.*", "torchmetrics.*"]

# What a model receives from the data, if its `__init__` names it.
FROM_DATA = ("num_classes", "class_names", "input_shape", "num_features", "categories", "target_mean", "target_std")
FROM_CONFIG = ("loss", "metrics", "optimizer", "scheduler")  # what it receives as plain data, if it names it

Block = dict[str, Any]  # a `_target_` and its arguments, as in configs/

# Keys of a scheduler block that are for Lightning, not for the scheduler itself.
SCHEDULER_KEYS = {"interval", "frequency", "monitor"}

# Types of the keys at the top of train.yaml.
KINDS = {
    "name": str | int | None,
    "test": bool,
    "checkpoint": str | None,
    "overwrite": bool,
    "runs_dir": str,
    "checks": str,
    "threads": int | None,
}

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def build(block: Mapping[str, Any], *, recursive: bool = True, **offered: Any) -> Any:
    """Call `block["_target_"]` with the block's own values and return the result.

    Args:
        block: a config node, or the same as plain data.
        recursive: build the blocks nested inside it too; False hands them over as plain dicts.
        offered: values only the program knows. The target receives those that its signature names and
            the block does not set itself.

    Raises:
        ConfigError: a library refused the values. An exception from your own package is passed on as it is.
    """
    target = block["_target_"]
    accepted, _ = arguments(find(target))
    given = {k: v for k, v in offered.items() if k in accepted and k not in block}
    options = {"_partial_": True, "_convert_": "all", "_recursive_": recursive}
    options |= {} if HYDRA_1_3 else {"_execution_whitelist_": TRUSTED}
    try:
        return hydra.utils.instantiate(block, **options)(**given)
    except Exception as error:
        cause = (isinstance(error, InstantiationException) and error.__cause__) or error
        if target.startswith(PACKAGE + ".") or isinstance(cause, ConfigError):
            raise cause from None
        values = {k: v for k, v in block.items() if k != "_target_"}
        known = f"\nIt takes: {', '.join(accepted)}" if values.keys() - accepted.keys() else ""
        raise ConfigError(f"{target} does not accept {values}: {error}{known}") from error


def build_model(cfg: DictConfig, data: LightningDataModule, *, from_checkpoint: bool = False) -> LightningModule:
    """Build the model of the config for the data; `from_checkpoint`: its weights come from there afterwards.

    Raises:
        ConfigError: the model needs what this data does not have, such as the shape of an image.
    """
    known = {name: getattr(data, name) for name in FROM_DATA if getattr(data, name, None) is not None}
    known |= {name: plain(cfg[name]) for name in FROM_CONFIG if cfg.get(name)}
    block = plain(cfg.model)
    if from_checkpoint and "weights" in block:
        block["weights"] = None  # neither a download nor a file is needed
    accepted, _ = arguments(find(block["_target_"]))
    required = {name for name, parameter in accepted.items() if parameter.default is parameter.empty}
    if missing := sorted(required & {*FROM_DATA, *FROM_CONFIG} - known.keys() - block.keys()):
        raise ConfigError(
            f"{block['_target_']} needs {', '.join(missing)}, and {cfg.data['_target_']} has none: "
            "choose another model for this data, or other data"
        )
    return build(block, recursive=False, **known)


def build_optimizer(
    module: LightningModule, optimizer: Block, scheduler: Block | None = None, params: Iterable[Any] | None = None
) -> dict[str, Any]:
    """Return an optimizer and its scheduler, from their blocks, as `configure_optimizers` returns them.

    A model with several of them, such as a GAN, returns a list of these.

    Args:
        module: the model, in the hands of a trainer.
        optimizer: block of a torch optimizer.
        scheduler: block of a torch scheduler, with `interval`, `frequency` and `monitor` for Lightning; `total_steps` of
            the run and the peak `max_lr` of each group are filled in where it takes them. None keeps the learning rate.
        params: parameters, or groups of them with values of their own; None: all of the module.
    """
    fused = not module.trainer.precision.endswith("mixed")  # Lightning cannot clip the gradients of both
    built = build(optimizer, params=module.parameters() if params is None else params, fused=fused)
    if not scheduler:
        return {"optimizer": built}
    settings = {key: value for key, value in scheduler.items() if key in SCHEDULER_KEYS}
    block = {key: value for key, value in scheduler.items() if key not in SCHEDULER_KEYS}
    max_lr = [group["lr"] for group in built.param_groups]
    total_steps = module.trainer.estimated_stepping_batches
    curve = build(block, optimizer=built, max_lr=max_lr, total_steps=total_steps)
    return {"optimizer": built, "lr_scheduler": {"scheduler": curve, **settings}}


def plain(node: Any) -> Any:
    """Return a part of the config as dicts, lists, numbers and strings, with its interpolations resolved."""
    return OmegaConf.to_container(node, resolve=True)


def check_values(cfg: DictConfig) -> None:
    """Raise ConfigError for the first value at the top of the config that has a wrong type."""
    for key in KINDS.keys() & cfg.keys():
        if not fits(cfg[key], KINDS[key]) or cfg[key] == "":
            raise ConfigError(f"{key} must be {inspect.formatannotation(KINDS[key])}, got {cfg[key]!r}")


def check_blocks(cfg: DictConfig) -> None:
    """Raise ConfigError for the first `_target_` that does not exist or would refuse its values."""
    for key, block in blocks(plain(cfg), key=""):
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
                kind = inspect.formatannotation(accepted[name].annotation)
                raise ConfigError(f"{key}.{name} must be {kind}, got {value!r}")


def blocks(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every dict with a `_target_` in a plain config, with its dotted key."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, child in node.items():
            yield from blocks(child, f"{key}.{name}" if key else str(name))


def find(target: str, where: str = "") -> Callable[..., Any]:
    """Import the class or function called `target`, as in `torch.optim.AdamW`.

    Raises:
        ConfigError: there is none, or it is not in TRUSTED; `where` begins the message. An error inside a
            module that does exist is passed on as it is.
    """
    if not any(target.startswith(prefix.removesuffix("*")) for prefix in TRUSTED):
        raise ConfigError(f"{where}{target} is not in TRUSTED of {PACKAGE}/engine/build.py; add it there")
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
    """Say whether a number, string, flag or null has the annotated type; anything else passes."""
    kinds = set(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else {annotation}
    if not kinds <= {int, float, str, bool, NoneType}:
        return True
    return type(value) in kinds or (type(value) is int and float in kinds)


def did_you_mean(name: str, known: Any) -> str:
    """Return `; did you mean ...?` with the nearest of the known names, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""

"""Turn config into objects: a block with a `_target_` becomes what that target returns.

This is the only place that calls Hydra's `instantiate`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import hydra.utils
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from lightning import LightningDataModule, LightningModule
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor
from torchmetrics import MetricCollection

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.hydra_version import HYDRA_1_3

from .targets import PACKAGE, SCHEDULER_KEYS, TRUSTED, arguments, did_you_mean, find

# What a model receives from the data, if its `__init__` names it.
FROM_DATA = ("num_classes", "class_names", "input_shape", "mean", "std", "num_features", "categories")
FROM_DATA += ("target_mean", "target_std")
FROM_CONFIG = ("loss", "metrics", "optimizer", "scheduler")  # what it receives as plain data, if it names it

Block = dict[str, Any]  # a `_target_` and its arguments, as in configs/


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
    lists = {
        name: list(value) for name, value in block.items() if isinstance(value, list | ListConfig) and name in accepted
    }
    tensors = {
        name for name in lists if Tensor in get_args(accepted[name].annotation)
    }  # such as the weights of the classes
    given |= {name: torch.tensor(lists[name], dtype=torch.get_default_dtype()) for name in tensors}
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
    chosen = {name: plain(cfg[name]) or None for name in FROM_CONFIG if name in cfg}
    block = plain(cfg.model)
    if twice := sorted(block.keys() & chosen.keys()):
        raise ConfigError(f"{twice[0]} has two places, model.{twice[0]} and {twice[0]}: remove the one of the model")
    known |= chosen
    if from_checkpoint and "weights" in block:
        block["weights"] = None  # neither a download nor a file is needed
    accepted, _ = arguments(find(block["_target_"]))
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    for override in overrides:
        name = re.split("[.=]", override.lstrip("+"))[0]
        if chosen.get(name) and name not in accepted:
            raise ConfigError(f"{override}: {block['_target_']} takes no {name}, so nobody would read it")
    required = {name for name, parameter in accepted.items() if parameter.default is parameter.empty}
    if missing := sorted(required & {*FROM_DATA, *FROM_CONFIG} - known.keys() - block.keys()):
        raise ConfigError(
            f"{block['_target_']} needs {', '.join(missing)}, and {cfg.data['_target_']} has none: "
            "choose another model for this data, or other data"
        )
    return build(block, recursive=False, **known)


def better(model: LightningModule, monitor: str | None, mode: str) -> str:
    """Return min or max: which of two values of the monitored metric is better.

    Raises:
        ConfigError: the metric knows, and `mode` says otherwise; or `mode` is auto, and nothing says it.
    """
    collections = [module for module in model.modules() if isinstance(module, MetricCollection)]
    metrics = {name: metric for collection in collections for name, metric in collection.items()}
    higher = (
        False if monitor and monitor.endswith("loss") else getattr(metrics.get(monitor or ""), "higher_is_better", None)
    )
    known = mode if higher is None else ("min", "max")[higher]
    if mode not in ("auto", known):
        raise ConfigError(
            f"mode={mode} would keep the worst checkpoint: of {monitor}, {known} is better. Leave mode=auto"
        )
    if known == "auto" and monitor:
        near = did_you_mean(monitor, [*metrics, "val/loss"])
        raise ConfigError(
            f"mode must be min or max: nothing says which of two values of monitor={monitor} is better{near}"
        )
    return known


def build_optimizer(
    module: LightningModule, optimizer: Block, scheduler: Block | None = None, params: Iterable[Any] | None = None
) -> dict[str, Any]:
    """Return an optimizer and its scheduler, from their blocks, as `configure_optimizers` returns them.

    A model with several of them, such as a GAN, returns a list of these.

    Args:
        module: the model, in the hands of a trainer.
        optimizer: block of a torch optimizer.
        scheduler: block of a torch scheduler, with `interval`, `frequency` and `monitor` for Lightning; `total_steps` of
            the run and the peak `max_lr` of each group are filled in where it takes them, and the schedulers of a
            SequentialLR get the optimizer. None keeps the learning rate.
        params: parameters, or groups of them with values of their own; None: all of the module.
    """
    fused = not module.trainer.precision.endswith("mixed")  # Lightning cannot clip the gradients of both
    built = build(optimizer, params=module.parameters() if params is None else params, fused=fused)
    if not scheduler:
        return {"optimizer": built}
    block = dict(scheduler)
    settings = {key: block.pop(key) for key in SCHEDULER_KEYS & block.keys()}
    max_lr = [group["lr"] for group in built.param_groups]
    offered = {"optimizer": built, "max_lr": max_lr, "total_steps": module.trainer.estimated_stepping_batches}
    if "schedulers" in block:
        whole = offered["total_steps"] if settings.get("interval") == "step" else module.trainer.max_epochs
        offered["T_max"] = whole - block.get("milestones", [0])[-1]  # of a cosine that comes last
        offered["schedulers"] = [build(inner, **offered) for inner in block.pop("schedulers")]
    return {"optimizer": built, "lr_scheduler": {"scheduler": build(block, **offered), **settings}}


def plain(node: Any) -> Any:
    """Return a part of the config as dicts, lists, numbers and strings, with its interpolations resolved."""
    return OmegaConf.to_container(node, resolve=True)

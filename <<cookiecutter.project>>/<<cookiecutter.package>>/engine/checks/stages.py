"""Does a stage keep its metrics and values to itself?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn
from torchmetrics import Metric

from .finding import Finding

BEST = ("best", "min", "max", "low", "high", "sum", "total")  # in the name of a number that is kept


def check_sanity(begin: dict[str, Any], left: dict[str, Any], end: dict[str, Any]) -> Iterator[Finding]:
    """(23) The sanity check leaves nothing behind: `kept_values` at three moments.

    Args:
        begin: when the first batch of the first validation begins.
        left: what the sanity check had changed.
        end: after the first validation. A list that is not longer then was made anew.
    """
    for path, value in left.items():
        if begin.get(path) != value and not (isinstance(value, int) and begin.get(path, 0) > value > 0):
            continue
        overwritten = isinstance(value, float) and not any(word in path.lower() for word in BEST)
        if overwritten or (isinstance(value, int) and end.get(path, 0) <= value):
            continue
        yield Finding(
            "stages",
            path,
            f"{path} still holds what the sanity check left in it",
            "samples that an untrained model saw count in the first epoch; a best value of theirs may never be beaten",
            "reset it in on_validation_epoch_start (a best value in on_train_start), or log the metric object itself, "
            "which Lightning resets",
        )
        return


def kept_values(model: nn.Module) -> dict[str, Any]:
    """Return, by path, updates of metrics, lengths of lists and arrays, and floating numbers that a model keeps."""
    kept: dict[str, Any] = {}
    for name, module in model.named_modules():
        if isinstance(module, Metric):
            kept[name] = module.update_count
        elif not type(module).__module__.startswith(("torch", "lightning")):  # a layer keeps nothing else
            for attribute, value in {**vars(type(module)), **vars(module)}.items():
                path = f"{name}.{attribute}" if name else attribute
                if attribute.startswith("_"):
                    continue
                if isinstance(value, float) or (isinstance(value, Tensor) and value.numel() == 1):
                    kept[path] = float(value)
                elif isinstance(value, list) or (isinstance(value, Tensor | np.ndarray) and value.ndim):
                    kept[path] = len(value)
    return kept


def check_shared(stages: dict[str, dict[int, str]]) -> Iterator[Finding]:
    """(23) No metric is updated in two stages; `stages` has, by stage, path by id of each metric that was updated."""
    for first, second in (("training", "validation"), ("validation", "test"), ("training", "test")):
        for key in stages.get(first, {}).keys() & stages.get(second, {}).keys():
            path = stages[first][key]
            yield Finding(
                "stages",
                path,
                f"{path} is updated in {first} and in {second}",
                "samples of one stage count in the result of the other",
                "make one metric object for each stage, e.g. with metric.clone()",
            )
            return

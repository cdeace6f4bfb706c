"""Compute what metrics were given in an evaluation again, over all of it at once."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.aggregation import BaseAggregator
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassPrecision, MulticlassRecall

from <<cookiecutter.package>>.engine.survival.rng_state import rng_state, set_rng_state

from .finding import Finding, definition
from .metric_record import Arguments, MetricRecord, values_of

# What is computed anew when only its name is known, the stage left out: val/acc, test_accuracy, f1/dev.
STAGES = ("val", "valid", "validation", "dev", "eval", "test")
NAMED = {
    "acc": MulticlassAccuracy,
    "accuracy": MulticlassAccuracy,
    "top1": MulticlassAccuracy,
    "f1": MulticlassF1Score,
    "f1_score": MulticlassF1Score,
    "precision": MulticlassPrecision,
    "recall": MulticlassRecall,
}


def check_metrics(trainer: Trainer, loop: Any, record: MetricRecord) -> Iterator[Finding]:
    """(22) Each logged metric equals its recomputation over the whole split at once."""
    results = list(loop._results.values())
    names = {result.meta.name for result in results if not result.meta.name.endswith(("_step", "num_samples"))}
    logged = {name: float(v) for name, v in trainer.callback_metrics.items() if name in names and v.numel() == 1}
    objects = {id(result.value): result.meta.name for result in results if not result.is_tensor}
    computed: list[float] = []
    state = rng_state([])
    for key, calls in record.calls.items():
        if all(calls):
            yield from check_metric(record, record.owners[key], calls, logged, objects, computed)
    set_rng_state(state, [])  # a bootstrapped metric draws
    if record.classifies and len(record.rows) > 1 and sum(len(labels) for _, labels in record.rows) == record.samples:
        means = {result.meta.name for result in results if isinstance(result.value, BaseAggregator)}
        unnamed = {name: v for name, v in logged.items() if name not in objects.values() or name in means}
        yield from check_names(record, unnamed, computed)
        yield from check_mean_loss(record, logged)


def check_metric(
    record: MetricRecord,
    metric: Any,
    calls: list[Arguments],
    logged: dict[str, float],
    objects: dict[int, str],
    computed: list[float],
) -> Iterator[Finding]:
    """Compare what is logged of a metric, or of a collection, with the same computed anew; and how much it was given.

    Args:
        record: of the whole evaluation.
        metric: one of the model's.
        calls: what it was given.
        logged: value by name.
        objects: name by id of the metric that is logged under it.
        computed: receives the values.
    """
    columns = list(zip(*calls, strict=True))
    path = record.paths.get(next(iter(values_of(metric))), "")
    whole = all(isinstance(value, Tensor) and value.dim() > 0 for column in columns for value in column)
    whole = whole and all(len({value.shape[1:] for value in column}) == 1 for column in columns)
    rows = sum(len(call[0]) for call in calls) if whole and record.sized else 0
    if rows > record.samples and rows % record.samples == 0:
        what = f"{path} is given {rows} samples; the split has {record.samples}"
        yield Finding(
            "metrics",
            path,
            what,
            "each sample counts more than once: sums are too large, and num_samples is wrong",
            "metric(x, y) updates it already: leave out metric.update(x, y), or call only that",
        )
        return
    sizes = [len(call[0]) for call in calls] if whole else []
    left_out = Counter(record.sizes) - Counter(sizes)
    if record.sized and record.classifies and sizes and left_out.total() == len(record.sizes) - len(sizes) > 0:
        yield Finding(
            "metrics",
            path,
            f"{path} is given {sum(sizes)} samples, in {len(sizes)} of {len(record.sizes)} batches; the split has {record.samples}",
            "the metric is that of a part of the split",
            "update it in every batch, the last and smaller one too",
        )
        return
    try:
        fresh = metric.clone()
    except RuntimeError:  # the hooks of a profiler cannot be copied
        return
    fresh.reset()
    with torch.no_grad():
        for arguments in [tuple(map(torch.cat, columns))] if whole else calls:
            fresh.update(*arguments)
        result = fresh.compute()
    values = result.values() if isinstance(result, dict) else [result]
    computed += [float(value) for value in values if isinstance(value, Tensor) and value.numel() == 1]
    for name, value in (result if isinstance(result, dict) else {objects.get(id(metric), ""): result}).items():
        if name in logged and isinstance(value, Tensor) and value.numel() == 1:
            where = next((record.paths[key] for key, known in objects.items() if known == name), path)
            yield from check_scores(name, logged[name], [float(value)], where, record.samples)


def check_names(record: MetricRecord, logged: dict[str, float], computed: list[float]) -> Iterator[Finding]:
    """Compare what is logged under the name of a metric, without its object, with that metric of the whole split.

    It may also be one of those `computed` of what the model's metrics were given.
    """
    logits, labels = (torch.cat(column) for column in zip(*record.rows, strict=True))
    classes = logits.size(1)
    for name, value in logged.items():
        measure = "_".join(word for word in re.split(r"[/_.-]", name.lower()) if word not in STAGES)
        if measure not in NAMED:
            continue
        if classes < 3 or labels.max() >= classes or labels.min() < 0:
            continue
        kinds = ("micro", "macro", "weighted")
        measures = [NAMED[measure](num_classes=classes, average=kind).to(logits.device) for kind in kinds]
        expected = [float(measure(logits, labels)) for measure in measures] + computed
        where = record.logged_at.get(name) or definition(record.model, "validation_step")
        yield from check_scores(name, value, expected, where, record.samples)


def check_mean_loss(record: MetricRecord, logged: dict[str, float]) -> Iterator[Finding]:
    """Find a logged loss that is the mean over batches of unequal size, or that of the last batch."""
    losses = [float(cross_entropy(logits, labels)) for logits, labels in record.rows]
    sizes = [len(labels) for _, labels in record.rows]
    right = sum(map(math.prod, zip(losses, sizes, strict=True))) / sum(sizes)
    for name, value in logged.items():
        for wrong in (sum(losses) / len(losses), losses[-1]):
            if math.isclose(value, wrong, rel_tol=1e-6) and not math.isclose(value, right, rel_tol=1e-4):
                where = record.logged_at.get(name) or definition(record.model, "validation_step")
                yield from check_scores(name, value, [right], where, record.samples, 1e-4)


def check_scores(
    name: str, logged: float, expected: list[float], where: str, samples: int, tolerance: float = 1e-3
) -> Iterator[Finding]:
    """(22) A logged value equals one that was computed over the whole split at once."""
    expected = [value for value in expected if math.isfinite(value)]
    if expected and not any(abs(logged - value) <= tolerance * max(1.0, abs(value)) for value in expected):
        nearest = min(expected, key=lambda value: abs(value - logged))
        yield Finding(
            "metrics",
            where,
            f"{name} is logged as {logged:.4f}; over all {samples} samples at once it is {nearest:.4f}",
            "models are compared by a number that is not that of the split: batches of unequal size count alike, it is another average, or "
            "samples of another pass count too",
            "update one torchmetrics object in each step and log the object itself: self.log(name, self.metric)",
        )

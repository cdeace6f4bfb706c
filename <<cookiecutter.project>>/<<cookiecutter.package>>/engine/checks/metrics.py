"""Record what metrics are given during an evaluation, and compute them again over all of it at once."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.aggregation import BaseAggregator
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassPrecision, MulticlassRecall

from .calls import CallWatch
from .finding import Finding, definition
from .independent import is_rows

Arguments = tuple[Any, ...]

# What is computed anew when only its name is known: the last part of a logged name, without "val".
NAMED = {
    "acc": MulticlassAccuracy,
    "accuracy": MulticlassAccuracy,
    "f1": MulticlassF1Score,
    "f1_score": MulticlassF1Score,
    "precision": MulticlassPrecision,
    "recall": MulticlassRecall,
}

MOST_BYTES = 2**26  # of recorded arguments; beyond, a metric is not computed again


class MetricRecord:
    """The arguments of every update of a model's metrics, while it is on."""

    def __init__(self, model: LightningModule) -> None:
        self.model = model
        self.calls: dict[int, list[Arguments]] = {}
        self.updated: dict[int, str] = {}  # path of each metric by id
        self.rows: list[tuple[Tensor, Tensor]] = []  # logits and labels of each batch
        self.bytes = self.depth = self.samples = 0
        self.sized = True  # the number of samples of each batch is known
        self.owners: dict[int, Any] = {}
        self.paths: dict[int, str] = {}
        inside: set[int] = set()
        for path, module in model.named_modules():
            if isinstance(module, Metric | MetricCollection) and id(module) not in inside:
                self.owners[id(module)] = module
                inside |= {id(m) for m in module.modules()}
            if isinstance(module, Metric):
                self.paths[id(module)] = path

    def start(self) -> None:
        """Stand in front of `update` and `forward` of each outermost metric."""
        self.originals = {key: dict(vars(metric)) for key, metric in self.owners.items()}
        for metric in self.owners.values():
            for name in ("update", "forward"):
                vars(metric)[name] = self.recording(metric, getattr(metric, name))

    def stop(self) -> None:
        for key, metric in self.owners.items():
            for name in ("update", "forward"):
                if name in self.originals[key]:
                    vars(metric)[name] = self.originals[key][name]
                else:
                    vars(metric).pop(name, None)

    def recording(self, metric: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if self.depth == 0:
                self.updated |= {key: self.paths[key] for key in values_of(metric) if key in self.paths}
                self.bytes += sum(a.nbytes for a in args if isinstance(a, Tensor))
                kept = tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)
                self.calls.setdefault(id(metric), []).append(kept if not kwargs and self.bytes < MOST_BYTES else ())
            self.depth += 1
            try:
                return function(*args, **kwargs)
            finally:
                self.depth -= 1

        return recorded

    def see(self, calls: CallWatch) -> None:
        """Keep the logits and labels of a batch."""
        self.samples += calls.batch_size
        self.sized &= calls.batch_size > 0
        batch = calls.batch
        output: Any = getattr(calls.entry, "output", None)
        labels = batch[1] if isinstance(batch, list | tuple) and len(batch) == 2 else None
        single = calls.num_entries == 1
        if (
            single
            and isinstance(labels, Tensor)
            and is_rows(output, calls.batch_size)
            and output.dim() == 2
            and labels.dim() == 1
        ):
            self.bytes += output.nbytes
            if self.bytes < MOST_BYTES and not labels.is_floating_point():
                self.rows.append((output.detach().float(), labels))


def check_metrics(trainer: Trainer, loop: Any, record: MetricRecord, logged_at: dict[str, str]) -> Iterator[Finding]:
    """(22) Each logged metric equals its recomputation over the whole split at once."""
    results = list(loop._results.values())
    names = {result.meta.name for result in results if not result.meta.name.endswith(("_step", "num_samples"))}
    logged = {name: float(v) for name, v in trainer.callback_metrics.items() if name in names and v.numel() == 1}
    objects = {id(result.value): result.meta.name for result in results if not result.is_tensor}
    for key, calls in record.calls.items():
        if all(calls):
            yield from check_metric(record, record.owners[key], calls, logged, objects)
    if len(record.rows) > 1 and sum(len(labels) for _, labels in record.rows) == record.samples:
        means = {result.meta.name for result in results if isinstance(result.value, BaseAggregator)}
        unnamed = {name: v for name, v in logged.items() if name not in objects.values() or name in means}
        yield from check_names(record, unnamed, logged_at)


def check_metric(
    record: MetricRecord, metric: Any, calls: list[Arguments], logged: dict[str, float], objects: dict[int, str]
) -> Iterator[Finding]:
    """Compare what is logged of a metric, or of a collection, with the same computed anew; and how much it was given."""
    columns = list(zip(*calls, strict=True))
    path = record.paths.get(next(iter(values_of(metric))), "")
    whole = all(isinstance(value, Tensor) and value.dim() > 0 for column in columns for value in column)
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
    try:
        fresh = metric.clone()
    except RuntimeError:  # the hooks of a profiler cannot be copied
        return
    fresh.reset()
    with torch.no_grad():
        for arguments in [tuple(map(torch.cat, columns))] if whole else calls:
            fresh.update(*arguments)
        result = fresh.compute()
    for name, value in (result if isinstance(result, dict) else {objects.get(id(metric), ""): result}).items():
        if name in logged and isinstance(value, Tensor) and value.numel() == 1:
            where = next((record.paths[key] for key, known in objects.items() if known == name), path)
            yield from check_scores(name, logged[name], [float(value)], where, record.samples)


def check_names(record: MetricRecord, logged: dict[str, float], logged_at: dict[str, str]) -> Iterator[Finding]:
    """Compare what is logged under the name of a metric, without its object, with that metric of the whole split."""
    logits, labels = (torch.cat(column) for column in zip(*record.rows, strict=True))
    classes = logits.size(1)
    for name, value in logged.items():
        stage, _, measure = name.lower().replace("_", "/", 1).rpartition("/")
        if stage not in ("", "val", "valid", "validation", "test") or measure not in NAMED:
            continue
        if classes < 3 or labels.max() >= classes or labels.min() < 0:
            continue
        kinds = ("micro", "macro", "weighted")
        measures = [NAMED[measure](num_classes=classes, average=kind).to(logits.device) for kind in kinds]
        expected = [float(measure(logits, labels)) for measure in measures]
        where = logged_at.get(name) or definition(record.model, "validation_step")
        yield from check_scores(name, value, expected, where, record.samples)


def check_scores(name: str, logged: float, expected: list[float], where: str, samples: int) -> Iterator[Finding]:
    """(22) A logged value equals one that was computed over the whole split at once."""
    expected = [value for value in expected if math.isfinite(value)]
    if expected and not any(abs(logged - value) <= 1e-3 * max(1.0, abs(value)) for value in expected):
        yield Finding(
            "metrics",
            where,
            f"{name} is logged as {logged:.4f}; over all {samples} samples at once it is {expected[0]:.4f}",
            "models are compared by a number that is not that of the split: batches of unequal size count alike, it is another average, or "
            "samples of another pass count too",
            "update one torchmetrics object in each step and log the object itself: self.log(name, self.metric)",
        )


def values_of(metric: Any) -> dict[int, Metric]:
    """Return a metric, or those of a collection, by id."""
    members = metric.values(copy_state=False) if isinstance(metric, MetricCollection) else [metric]
    return {id(member): member for member in members}

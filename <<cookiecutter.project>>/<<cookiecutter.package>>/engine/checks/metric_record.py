"""Record what the metrics of a model are given and where its values are logged."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from lightning import LightningModule
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from .calls import CallWatch
from .finding import owner_frame, place
from .independent import is_rows
from .tracer import Tracer

Arguments = tuple[Any, ...]

MOST_BYTES = 2**26  # of recorded arguments; beyond, a metric is not computed again


class MetricRecord:
    """What a model's metrics are given and where each value is logged, while it is on."""

    def __init__(self, model: LightningModule, tracer: Tracer) -> None:
        self.model, self.tracer = model, tracer
        self.replaced: list[tuple[Any, str, Any]] = []
        self.logged_at: dict[str, str] = {}  # place of the first call of self.log, by the name that it logs
        self.calls: dict[int, list[Arguments]] = {}
        self.updated: dict[int, str] = {}  # path of each metric by id
        self.computed: dict[int, str] = {}  # of those that were computed over the whole evaluation
        self.collected: dict[int, str] = {}  # of those that keep what they were given: not only called, as a loss is
        self.rows: list[tuple[Tensor, Tensor]] = []  # logits and labels of each batch
        self.bytes = self.depth = 0
        self.sizes: list[int] = []  # samples of each batch
        self.classifies = True  # what the model puts out are logits of the labels
        self.owners: dict[int, Any] = {}
        self.metrics: list[Metric] = []
        self.paths: dict[int, str] = {}
        inside: set[int] = set()
        for path, module in model.named_modules():
            if isinstance(module, Metric | MetricCollection) and id(module) not in inside:
                self.owners[id(module)] = module
                inside |= {id(m) for m in module.modules()}
            if isinstance(module, Metric):
                self.metrics.append(module)
                self.paths[id(module)] = path

    @property
    def samples(self) -> int:
        return sum(self.sizes)

    @property
    def sized(self) -> bool:
        """Say whether the number of samples of each batch is known."""
        return all(self.sizes)

    def start(self) -> None:
        """Stand in front of `update` and `forward` of each outermost metric, every `compute`, and `log` of the model."""
        for metric in self.owners.values():
            for name in ("update", "forward"):
                self.stand(metric, name, partial(self.note_update, name, metric))
        for metric in self.metrics:
            self.stand(metric, "compute", partial(self.note_compute, metric))
        self.stand(self.model, "log", self.note_log)

    def stand(self, owner: Any, name: str, note: Callable[..., None]) -> None:
        self.replaced.append((owner, name, vars(owner).get(name)))
        vars(owner)[name] = InFront(self, owner, name, note)

    def stop(self) -> None:
        for owner, name, original in self.replaced:
            vars(owner).pop(name, None)
            vars(owner).update({name: original} if original else {})
        self.replaced.clear()

    def note_update(self, method: str, metric: Any, *args: Any, **kwargs: Any) -> None:
        updated = {key: self.paths[key] for key in values_of(metric) if key in self.paths}
        self.updated |= updated
        self.collected |= updated if method == "update" else {}
        self.bytes += sum(a.nbytes for a in args if isinstance(a, Tensor))
        kept = tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)
        self.calls.setdefault(id(metric), []).append(kept if not kwargs and self.bytes < MOST_BYTES else ())

    def note_compute(self, metric: Metric) -> None:
        self.computed[id(metric)] = self.collected[id(metric)] = self.paths[id(metric)]

    def note_log(self, name: str = "", *args: Any, **kwargs: Any) -> None:
        if name not in self.logged_at:
            self.logged_at[name] = place(owner_frame(sys._getframe()))

    def see(self, calls: CallWatch) -> None:
        """Keep the logits and labels of a batch."""
        self.sizes.append(calls.batch_size)
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


class InFront:
    """Is called instead of a method: notes the arguments, then calls it untraced; in a copy of its object, it is the method."""

    def __init__(self, record: MetricRecord, owner: Any, name: str, note: Callable[..., None]) -> None:
        self.record, self.owner, self.name, self.note = record, owner, name, note
        self.method = getattr(owner, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.record.depth == 0:  # not what a metric or Lightning calls itself
            self.note(*args, **kwargs)
        self.record.depth += 1
        try:
            with self.record.tracer.paused():
                return self.method(*args, **kwargs)
        finally:
            self.record.depth -= 1

    def __reduce__(self) -> Any:
        return getattr, (self.owner, self.name)


def values_of(metric: Any) -> dict[int, Metric]:
    """Return a metric, or those of a collection, by id."""
    members = metric.values(copy_state=False) if isinstance(metric, MetricCollection) else [metric]
    return {id(member): member for member in members}

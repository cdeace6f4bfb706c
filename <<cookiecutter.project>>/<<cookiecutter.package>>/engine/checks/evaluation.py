"""Evaluation runs in eval mode, changes nothing and counts each sample once; a trial shows what mixes samples."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from torchmetrics import Metric, functional

from <<cookiecutter.package>>.engine.checks.calls import CallWatch, Entry, Loss
from <<cookiecutter.package>>.engine.checks.data import inputs_and_labels, loaders_of
from <<cookiecutter.package>>.engine.checks.findings import Finding, definition
from <<cookiecutter.package>>.engine.checks.model import DROPOUTS, NORMS, hidden
from <<cookiecutter.package>>.engine.checks.steps import checksums

SCORES = {"acc": "accuracy", "accuracy": "accuracy", "f1": "f1_score", "precision": "precision", "recall": "recall"}
MOST = 10**7  # logits that are kept, to compute scores again


def updates(model: LightningModule) -> dict[str, int]:
    """Return how often each metric was updated since its last reset."""
    return {name: m.update_count for name, m in model.named_modules() if isinstance(m, Metric)}


def kept(model: LightningModule) -> dict[str, int]:
    """Return a checksum of all that a checkpoint keeps, metrics and averaged models aside."""
    apart = (torch.optim.swa_utils.AveragedModel, Metric)
    aside = tuple(f"{name}." for name, m in model.named_modules() if isinstance(m, apart))
    state = ((name, x) for name, x in model.state_dict().items() if not name.startswith(aside))
    return checksums((name, x) for name, x in state if not nn.parameter.is_lazy(x))


class Evaluation:
    """What one validation or test does to a model and to its metrics; the sanity check is a validation.

    Args:
        state: checksums of the model when it begins.
        learnt: names in the state of the model that training changes; None if there was no training.
        report: receives what must be said before torch fails on it.
    """

    def __init__(self, trainer: Trainer, state: dict[str, int], learnt: set[str] | None, report: Any) -> None:
        self.trainer, self.model, self.state, self.learnt = trainer, trainer.lightning_module, state, learnt
        self.stage = "test" if trainer.testing else "validation"
        self.loaders = loaders_of(trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders)
        self.calls = CallWatch(self.model, report)
        self.sizes: list[int] = []  # of the batches
        self.rows: list[tuple[Tensor, Tensor]] = []  # logits and labels
        self.losses: list[Loss] = []
        self.classifies = True
        self.before: dict[str, int] = {}  # updates of the metrics
        self.updated: set[str] = set()  # names of metrics

    def start_batch(self, batch: Any) -> None:
        self.before = self.before if self.sizes else updates(self.model)
        self.calls.start(batch, functions=len(self.sizes) < 2)

    def end_batch(self, batch: Any) -> Iterator[Finding]:
        calls, labels = self.calls, inputs_and_labels(batch)[1]
        calls.stop()
        for_classes = isinstance(labels, Tensor) and labels.dim() == 1 and not labels.is_floating_point()
        self.sizes.append(len(labels) if for_classes else 0)
        self.classifies &= not calls.losses or calls.judges()
        self.losses += calls.losses
        output = calls.entry.output if calls.entry and calls.num_entries == 1 else None
        if for_classes and isinstance(output, Tensor) and output.dim() == 2 and len(output) == len(labels):
            self.rows += [(output.detach().float(), labels)] if len(self.rows) * output.numel() < MOST else []
        yield from check_eval_mode(self.model, calls, self.stage)

    def counts(self) -> Iterator[Finding]:
        """At the end: each metric of this stage was updated once for each batch."""
        for name, now in updates(self.model).items():
            count = now - self.before.get(name, 0)
            self.updated |= {name} - self.calls.functions() if count > 0 else set()
            if count > 0 and len(self.loaders) == 1 and count != len(self.sizes):
                what = f"{name} was updated {count} times in {len(self.sizes)} batches of {self.stage}"
                yield Finding("metrics", name, what, effect="samples count twice, or not at all")

    def shared(self, others: dict[str, set[str]]) -> Iterator[Finding]:
        """When it is over: no metric of this stage, by the names of those of others, held something when it began."""
        for name, now in updates(self.model).items():
            before, stages = self.before.get(name, 0), [stage for stage, names in others.items() if name in names]
            if stages and before and (name in self.updated or now > before) and name not in self.calls.functions():
                yield Finding("stages", name, f"{name} held {before} updates of {stages[0]} when {self.stage} began")
            elif self.stage == "test" and "validation" in stages and name in self.updated:
                yield Finding("stages", name, f"{name} is one object for validation and test", "check")

    def unchanged(self, now: dict[str, int]) -> Iterator[Finding]:
        """When it is over, and what was swapped is back: what training learns is as it was."""
        if self.trainer.global_rank:  # DistributedDataParallel hands the buffers of the first process to the others
            return
        learnt = self.state.keys() if self.learnt is None else self.learnt
        changed = [name for name, bits in self.state.items() if now.get(name, bits) != bits and name in learnt]
        if changed and not self.calls.batch_statistics:
            what = f"{changed[0]} ({len(changed)} in all) has changed during {self.stage}"
            yield Finding("unchanged", changed[0], what)

    def scores(self) -> Iterator[Finding]:
        """What is logged as accuracy or loss is that of the whole split."""
        if not self.classifies or not 1 < len(self.rows) == len(self.sizes) or self.trainer.world_size > 1:
            return
        logits, labels = (torch.cat(column) for column in zip(*self.rows, strict=True))
        if not 3 <= logits.size(1) > labels.max() >= labels.min() >= 0:
            return
        where = definition(self.model, f"{self.stage}_step")
        options = next((loss.options for loss in self.losses if loss.function is nn.functional.cross_entropy), {})
        losses = [nn.functional.cross_entropy(x, y, **options).item() for x, y in self.rows]
        by_batch = sum(losses) / len(losses)
        right = sum(loss * size for loss, size in zip(losses, self.sizes, strict=True)) / sum(self.sizes)
        for name, metric in self.trainer.callback_metrics.items():
            words = name.lower().replace("/", "_").replace("-", "_").split("_")
            if metric.numel() != 1 or "train" in words or "best" in words:
                continue
            value, score = metric.item(), next((SCORES[word] for word in words if word in SCORES), None)
            if abs(value - by_batch) < 1e-6 and abs(value - right) > 1e-5:
                yield Finding("metrics", where, f"{name} is a mean over batches, which are not of one size")
            elif score:
                function = getattr(functional.classification, f"multiclass_{score}")
                kinds = ("micro", "macro", "weighted")
                expected = (function(logits, labels, num_classes=logits.size(1), average=kind).item() for kind in kinds)
                if all(abs(value - (last := other)) > 1e-3 for other in expected):
                    what = f"{name} is {value:.4f}; of all {len(labels)} samples it is {last:.4f}"
                    yield Finding("metrics", where, what)

    def counted(self, split: str) -> Iterator[Finding]:
        """Every sample of the split is evaluated."""
        limit = self.trainer.limit_test_batches if self.stage == "test" else self.trainer.limit_val_batches
        is_whole = isinstance(limit, float) and len(self.loaders) == self.trainer.world_size == limit
        dataset: Any = self.loaders[0].dataset if is_whole and any(self.sizes) else None
        if hasattr(dataset, "__len__") and len(dataset) > sum(self.sizes):
            what = f"{len(dataset) - sum(self.sizes)} of the {len(dataset)} samples of {split} are left out"
            yield Finding("metrics", split, what, remedy="set drop_last=False for its loader")


def check_eval_mode(model: LightningModule, calls: CallWatch, stage: str) -> Iterator[Finding]:
    """In a batch of evaluation nothing is dropped, no statistics of the batch are used, no gradients are kept."""
    wrong = [id(m) for m in calls.in_train if isinstance(m, NORMS + DROPOUTS) and getattr(m, "p", 1) > 0]
    where = next((name for name, m in (model.named_modules() if wrong else ()) if id(m) in wrong), "")
    paths = [path for path, value in hidden(model) if id(value) in wrong] if wrong and not where else []
    if paths:
        what = f"{paths[0]} runs in train mode during {stage}: model.eval() does not reach it"
        yield Finding("registered", paths[0], what, "check")
    elif calls.batch_statistics:
        what = f"batch norm uses the statistics of the batch during {stage}"
        yield Finding("eval_mode", where or calls.batch_statistics, what, "wrong")
    elif calls.dropped:
        yield Finding("eval_mode", where or calls.dropped, f"dropout drops during {stage}")
    if calls.with_gradients and not calls.differentiates:
        effect, remedy = "evaluation takes several times the memory", "leave out enable_grad and set_grad_enabled"
        what, where = f"gradients are on during {stage}: {calls.with_gradients}", definition(model, f"{stage}_step")
        yield Finding("eval_mode", where, what, None, remedy, effect)


def check_trial(trainer: Trainer, model: LightningModule, calls: CallWatch) -> list[Finding]:
    """Call what the step has called once more, in eval mode and on a few samples; nothing of it remains."""
    entry = calls.entry or Entry(model, (), {}, None)
    tensors = [x for x in tree_leaves((entry.args, entry.kwargs)) if isinstance(x, Tensor)]
    rows = {len(x) if x.dim() else 0 for x in tensors}
    if len(rows) == 1 and rows.pop() > 3 and sum(x.is_floating_point() for x in tensors) < 2:  # two it may compare
        precision = trainer.precision_plugin.forward_context()
        with isolate_rng(), suppress(Exception), undisturbed(model, entry.module), precision:  # it may not like few
            return list(trial(model, entry, judges=calls.judges()))
    return []


def trial(model: LightningModule, entry: Entry, *, judges: bool) -> Iterator[Finding]:
    """The slope of output 1 with respect to any other sample is exactly 0; and what is judged is no chance."""
    inputs: list[Tensor] = []
    parts: list[tuple[nn.Module, Any, Any]] = []  # modules, what they are given and what they put out

    def few(x: Any) -> Any:
        x = x[:8].detach().clone() if isinstance(x, Tensor) else x
        inputs.extend([x.requires_grad_()] if isinstance(x, Tensor) and x.is_floating_point() else [])
        return x

    def keep(m: nn.Module, given: Any, made: Any) -> None:
        inputs.extend([made] if isinstance(m, nn.Embedding) and not inputs else [])  # whole numbers have no slope
        parts.append((m, first(given), first(made)))

    args, kwargs = tree_map(few, (entry.args, entry.kwargs))
    for m in entry.module.modules():
        _ = m is entry.module or m.register_forward_hook(keep)
    output, where = first(entry.module(*args, **kwargs)), definition(entry.module, "forward")
    compares = output.dim() > 1 and output.size(1) == len(output)  # each sample with each
    if inputs and not compares and mixes(output, inputs[0]):
        mixing = [m for m, given, made in parts if mixes(made, inputs[0]) and not mixes(given, inputs[0])]
        where = next((name for name, m in model.named_modules() if mixing and m is mixing[0]), where)
        yield Finding("independent", where, "output 1 depends on other samples of the batch than sample 1")
    elif judges and not torch.equal(output.nan_to_num(), first(entry.module(*args, **kwargs)).nan_to_num()):
        yield Finding("eval_mode", where, "the outputs of the model are random in eval mode")


def mixes(value: Any, inputs: Tensor) -> bool:
    """Say whether row 1 of a tensor has a slope with respect to other rows of the inputs."""
    if not isinstance(value, Tensor) or not value.requires_grad or len(value) != len(inputs):
        return False
    weights = torch.linspace(1, 2, value[1].numel(), device=value.device)  # the sum of a softmax has no slope
    (slope,) = torch.autograd.grad((value[1].flatten() * weights).sum(), inputs, retain_graph=True, allow_unused=True)
    others = torch.arange(len(inputs), device=inputs.device) != 1
    return slope is not None and bool(slope.isfinite().all() and slope[others].any())


def first(value: Any) -> Any:
    """Return the first tensor with samples of a nested value, or None."""
    return next((x for x in tree_leaves(value) if isinstance(x, Tensor) and x.dim()), None)


@contextmanager
def undisturbed(model: LightningModule, module: nn.Module) -> Iterator[None]:
    """Switch to eval mode; afterwards modes, hooks, buffers and attributes, and what lists and dicts hold, are as before."""
    attributes = [(vars(m), dict(vars(m))) for m in {*model.modules(), *module.modules()}]
    values = [x for own, _ in attributes for x in own.values()]
    contents = [(x, x.copy()) for x in values if isinstance(x, (list, deque, dict, set))]
    clones = [(x, x.clone()) for x in (*values, *model.buffers(), *module.buffers()) if isinstance(x, Tensor)]
    model.eval()
    module.eval()
    vars(model)["log"] = vars(model)["log_dict"] = lambda *args, **kwargs: None
    try:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # its recurrent nets only train
            yield
    finally:
        for own, before in [*attributes, *contents]:
            own.clear()
            own.extend(before) if isinstance(own, (list, deque)) else own.update(before)
        with torch.no_grad():
            _ = [tensor.copy_(value) for tensor, value in clones]

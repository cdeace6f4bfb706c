"""Watch the first evaluations of each stage: sanity check, validation, test, predict."""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities.data import sized_len
from torch.nn.modules.module import register_module_forward_hook

from .batch import inputs_and_labels
from .calls import CallWatch
from .data import check_data
from .evaluation import check_eval_mode, check_left_behind, check_random, state_of
from .finding import Finding, Findings
from .losses import judges
from .metric_record import MetricRecord
from .metrics import check_metrics
from .passes import Passes
from .samples import check_counted, loaders_of
from .stages import check_sanity, check_shared, kept_values
from .tracer import Tracer

TRACED = 2  # batches; of later ones only the output of the model is kept
HOOKS = ("epoch_start", "batch_end", "epoch_end", "end")  # of the model: it is traced until they return
STAGES = {"validate": "validation", "test": "test", "predict": "predict"}
SPLITS = {"validation": "val", "test": "test"}


class FirstEvaluations:
    """Runs an evaluation with a watch on it, as often as it takes to judge it.

    Args:
        findings: receives what is wrong.
        after: called after each evaluation that was watched.
    """

    def __init__(self, findings: Findings, after: Callable[[Trainer], None]) -> None:
        self.findings, self.after, self.passes = findings, after, Passes({})
        self.loaders: dict[str, Any] = {}
        self.left: dict[str, Any] = {}  # what the sanity check has changed: lists, numbers, counts of metrics
        self.stages: dict[str, dict[int, str]] = {}  # by stage, the metrics that were updated in it
        self.judged: set[int] = set()  # modules that have been called again to see whether they are random
        self.compared: set[str] = set()  # splits
        self.runs = 0

    def know(self, split: str, loader: Any) -> None:
        """Remember the loader of a split."""
        self.loaders[split] = loader
        self.passes.loaders[split] = loaders_of(loader)

    def watch(self, trainer: Trainer) -> None:
        """Stand in front of the loop that evaluates in what the Trainer is about to do."""
        stage = str(trainer.state.fn and trainer.state.fn.value)
        loop: Any = trainer.fit_loop.epoch_loop.val_loop if stage == "fit" else getattr(trainer, f"{stage}_loop")
        self.runs = 0
        vars(loop)["run"] = partial(self.run, trainer, loop, loop.run, STAGES.get(stage, "validation"))

    def apart(self, trainer: Trainer, run: Any) -> None:
        """Fit without a watch on the evaluations: a tuner tries something out."""
        loop = vars(trainer.fit_loop.epoch_loop.val_loop)
        watched = loop.pop("run", None)
        try:
            run()
        finally:
            loop.update({"run": watched} if watched else {})

    def run(self, trainer: Trainer, loop: Any, run: Any, stage: str) -> Any:
        """Run an evaluation and report what was wrong in it."""
        model: Any = trainer.lightning_module
        before, kept = state_of(model), kept_values(model) if trainer.sanity_checking else {}
        watch = BatchWatch(model, stage, self.passes, self.left)
        trainer.callbacks = [watch, *trainer.callbacks]
        watch.record.start()
        try:
            outputs = run()
        finally:
            watch.record.stop()
            watch.tracer.stop()
            if watch.handle is not None:
                watch.handle.remove()
            trainer.callbacks = [callback for callback in trainer.callbacks if callback is not watch]
        if not watch.batches:
            return outputs
        split, loaders = SPLITS.get(stage), loop._combined_loader.flattened
        if split and len(loaders) == 1:
            self.know(split, loaders[0])
        self.report_mode(trainer, watch, before, stage)
        if trainer.sanity_checking:
            after = kept_values(model)
            self.left = {path: value for path, value in after.items() if kept.get(path, value) != value}
        else:
            record = watch.record
            self.stages[stage] = record.collected
            self.findings.report(check_shared(self.stages))
            if self.left:
                idle = set(record.paths.values()) - set(record.computed.values())
                left = {path: value for path, value in self.left.items() if path not in idle}
                self.findings.report(check_sanity(watch.kept, left, kept_values(model)))
            if len(loaders) == 1:
                self.report_metrics(trainer, loop, watch, stage)
            self.left = {}
        self.runs += 1
        if self.runs > 1 or stage != "validation":  # two passes show whether the order is the same
            vars(loop).pop("run", None)
        if split and not trainer.overfit_batches:
            self.findings.report(self.passes.findings())
            self.passes.next_pass(split)
        self.after(trainer)
        return outputs

    def report_mode(self, trainer: Trainer, watch: "BatchWatch", before: Any, stage: str) -> None:
        model: Any = trainer.lightning_module
        modes = [*watch.calls.findings, *check_eval_mode(model, watch.calls, stage)]
        vars(watch.calls).update(watch.last)
        entry = watch.calls.entry
        if not modes and entry is not None and id(entry.module) not in self.judged:
            modes = [*check_random(trainer, model, watch.calls, stage)]
            self.judged.add(id(entry.module))
        left = [*check_left_behind(model, before, stage)]
        if any(finding.rule in ("eval_mode", "registered") for finding in modes):  # a changed buffer follows from it
            left = [finding for finding in left if finding.rule != "unchanged"]
        self.findings.report([*modes, *left], "eval_mode", "unchanged", "called")

    def report_metrics(self, trainer: Trainer, loop: Any, watch: "BatchWatch", stage: str) -> None:
        record, split = watch.record, SPLITS.get(stage)
        found: list[Finding] = []
        if split:
            num_classes = getattr(getattr(trainer, "datamodule", None), "num_classes", None)
            if split not in self.compared:
                found += check_data(self.loaders, num_classes, overfit=bool(trainer.overfit_batches))
            self.compared |= {split}
        if not found and split and trainer.world_size == 1:
            if record.sized and watch.batches == sized_len(self.loaders[split]):
                found += check_counted(self.loaders[split], record.samples, split)
            found += check_metrics(trainer, loop, record)
        self.findings.report(found, *(["metrics", "stages"] if record.calls or record.rows else []))


class BatchWatch(Callback):
    """Sees the batches of one evaluation, and traces the steps and hooks of the model in the first of them."""

    def __init__(self, model: Any, stage: str, passes: Passes, left: dict[str, Any]) -> None:
        self.left = left  # by the sanity check
        self.tracer = Tracer()
        self.calls, self.record = CallWatch(model, self.tracer), MetricRecord(model, self.tracer)
        self.passes, self.split = passes, SPLITS.get(stage)
        self.batches = 0
        self.last: dict[str, Any] = {}  # what the last traced batch called
        self.handle: Any = None
        self.tracer.watch(torch.autograd.backward, self.calls.differentiates)
        for hook in HOOKS:
            name = f"on_{stage}_{hook}"
            self.tracer.watch(getattr(type(model), name, None), returned=lambda *_: self.tracer.stop())

    def trace(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Trace until a hook of the model returns: its hooks come after those of callbacks."""
        self.tracer.start()

    def begin(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self.batches and self.left:
            self.kept = kept_values(self.calls.model)
        self.batches += 1
        if self.batches == TRACED + 1 and self.calls.entry is not None:
            entry = self.calls.entry.module  # a hook of its own would be copied with it
            self.handle = register_module_forward_hook(partial(self.calls.note_output, entry))
        self.calls.begin(batch)
        if self.batches <= TRACED:
            self.tracer.start()

    def end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.calls.active = False
        self.record.see(self.calls)
        if self.batches <= TRACED:
            self.record.classifies &= judges(self.calls)
            self.last = {name: copy(getattr(self.calls, name)) for name in ("entry", "losses", "batch", "batch_size")}
        if self.split and dataloader_idx == 0:
            entry, (inputs, labels) = self.calls.entry, inputs_and_labels(batch)
            if entry is not None and self.record.classifies and not self.calls.needs_grad:
                inputs = entry.args or entry.kwargs  # noise may be added in a step
            self.passes.see(self.split, (inputs, labels))

    on_validation_start = on_test_start = on_predict_start = trace
    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = begin
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = end
    on_validation_epoch_end = on_test_epoch_end = on_predict_epoch_end = trace
    on_validation_end = on_test_end = on_predict_end = trace

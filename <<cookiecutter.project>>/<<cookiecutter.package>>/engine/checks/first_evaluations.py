"""Watch the first evaluations of each stage: sanity check, validation, test, predict."""

import math
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

from lightning import Callback, Trainer
from lightning.fabric.utilities.data import sized_len

from .calls import CallWatch
from .data import check_data
from .evaluation import check_eval_mode, check_left_behind, check_random, state_of
from .finding import Findings
from .metrics import MetricRecord, check_metrics
from .passes import Passes
from .samples import check_counted, loaders_of
from .stages import check_sanity, check_shared, kept_values
from .tracer import Tracer

TRACED = 2  # batches; of later ones only the output of the model is kept
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

    def run(self, trainer: Trainer, loop: Any, run: Any, stage: str) -> Any:
        """Run an evaluation and report what was wrong in it."""
        model: Any = trainer.lightning_module
        before, kept = state_of(model), kept_values(model)
        watch = BatchWatch(model, loop, self.passes, SPLITS.get(stage))
        trainer.callbacks = [watch, *trainer.callbacks]
        watch.record.start()
        watch.calls.tracer.start()
        try:
            outputs = run()
        finally:
            watch.record.stop()
            watch.calls.tracer.stop()
            if watch.hook is not None:
                watch.hook.remove()
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
            self.findings.report(check_sanity(watch.kept, self.left, kept_values(model)))
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
        self.stages[stage] = record.updated
        found = list(check_shared(self.stages))
        if split:
            num_classes = getattr(getattr(trainer, "datamodule", None), "num_classes", None)
            if split not in self.compared:
                found += check_data(self.loaders, num_classes, overfit=bool(trainer.overfit_batches))
            self.compared |= {split}
        if not found and split and trainer.world_size == 1:
            size = sized_len(self.loaders[split])
            found += (
                check_counted(self.loaders[split], record.samples, split)
                if record.sized and watch.batches == size
                else []
            )
            found += check_metrics(trainer, loop, record, watch.calls.logged_at)
        self.findings.report(found, *(["metrics", "stages"] if record.calls or record.rows else []))


class BatchWatch(Callback):
    """Sees the batches of one evaluation."""

    def __init__(self, model: Any, loop: Any, passes: Passes, split: str | None) -> None:
        self.loop = loop
        self.calls, self.record = CallWatch(model, Tracer()), MetricRecord(model)
        self.passes, self.split = passes, split
        self.batches = 0
        self.last: dict[str, Any] = {}  # what the last traced batch called
        self.hook: Any = None

    def begin(self, batch: Any, dataloader_idx: int = 0) -> None:
        if not self.batches:
            self.kept = kept_values(self.calls.model)
        self.batches += 1
        if self.batches == TRACED + 1 and self.calls.entry is not None:
            self.hook = self.calls.entry.module.register_forward_hook(self.calls.note_output)
        if self.batches > TRACED:
            self.calls.tracer.stop()
        if self.split and dataloader_idx == 0:
            self.passes.see(self.split, batch)
        self.calls.begin(batch)

    def end(self) -> None:
        self.calls.active = False
        self.record.see(self.calls)
        if self.batches <= TRACED:
            self.last = {name: copy(getattr(self.calls, name)) for name in ("entry", "losses", "batch", "batch_size")}
        elif not self.batches < sum(self.loop.max_batches) < math.inf:
            self.calls.tracer.start()  # for the hooks after the last batch

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any, **kwargs: Any) -> None:
        self.begin(batch, kwargs.get("dataloader_idx", args[-1] if len(args) > 1 else 0))

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.end()

    def on_test_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any, **kwargs: Any) -> None:
        self.begin(batch, kwargs.get("dataloader_idx", args[-1] if len(args) > 1 else 0))

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.end()

    def on_predict_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any, **kwargs: Any) -> None:
        self.begin(batch, kwargs.get("dataloader_idx", args[-1] if len(args) > 1 else 0))

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.end()

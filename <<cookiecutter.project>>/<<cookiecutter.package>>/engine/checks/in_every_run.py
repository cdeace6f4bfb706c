"""The checks of every run: they watch the first steps of training, then leave the Trainer."""

from functools import partial
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from .calls import CallWatch
from .data import check_data, check_finite, check_inputs
from .finding import Findings, definition
from .first_evaluations import FirstEvaluations
from .independent import check_independent
from .losses import check_first_loss, check_losses, no_loss
from .metric_record import MetricRecord
from .modes import check_modes
from .optimizer_groups import check_optimizers
from .schedule import check_known, check_schedules, check_stepped, learning_rates, steps_taken
from .second_epoch import begin_of, check_second_epoch
from .step_rules import check_gradients, check_order, check_weights
from .steps import StepWatch
from .tracer import Tracer

ENOUGH = 3  # steps of each optimizer to judge by
GIVE_UP = 100  # batches without so many steps
PATIENCE = 20  # batches to wait for a gradient or a change that has not come yet


class TrainingChecks(Callback):
    """Look for training that is wrong without failing, and say which rule is broken and where.

    Watches until each optimizer has made three steps, the first batches of the second epoch, and the first evaluations
    of each stage; in between and after that nothing is left in the Trainer's loop. Training goes on bit for bit as
    without it.

    Args:
        answer: error stops the run at a broken rule, warn says so and goes on, skip does not look.
        intended: `rule` or `rule:where` of what is meant to be so.
        checkpoint: weights that training starts from, if any; the first loss then says nothing.

    Raises:
        RuleBroken: a rule is broken.
    """

    def __init__(self, answer: str = "error", intended: list[str] | None = None, checkpoint: str | None = None) -> None:
        self.findings = Findings(answer, [] if intended is None else intended)
        self.checkpoint = checkpoint
        self.evaluations = FirstEvaluations(self.findings, after=self.come)
        self.steps: StepWatch | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.findings.answer == "skip" or not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            self.leave(trainer)
            return
        self.evaluations.watch(trainer)
        if stage == "fit":
            vars(trainer.fit_loop)["run"] = partial(self.fit, trainer, trainer.fit_loop.run)

    def fit(self, trainer: Trainer, run: Any) -> None:
        """Fit, and come back for the stages after it."""
        if self not in trainer.callbacks:
            return self.evaluations.apart(trainer, run)
        vars(trainer.fit_loop).pop("run")
        try:
            run()
        finally:
            self.stop_steps()
            self.come(trainer)

    def come(self, trainer: Trainer) -> None:
        self.leave(trainer)
        trainer.callbacks = [self, *trainer.callbacks]

    def leave(self, trainer: Trainer) -> None:
        trainer.callbacks = [callback for callback in trainer.callbacks if callback is not self]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.num_classes = getattr(getattr(trainer, "datamodule", None), "num_classes", None)
        self.overfit, self.passes = bool(trainer.overfit_batches), self.evaluations.passes
        self.evaluations.know("train", trainer.train_dataloader)
        found = check_data(self.evaluations.loaders, self.num_classes, overfit=self.overfit)
        self.evaluations.compared |= self.evaluations.loaders.keys()
        self.findings.report(found, *(["labels"] if self.num_classes else []), "splits")
        self.schedulers, self.rates = steps_taken(trainer), learning_rates(trainer)
        self.first_epoch, self.epochs_before = trainer.current_epoch, trainer.fit_loop.epoch_progress.current.completed
        self.has_begun, self.saw_first_batch, self.without_loss = False, False, 0
        self.is_new = self.checkpoint is None and trainer.ckpt_path is None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.has_begun:  # now that the hooks of the model have changed what they change
            self.has_begun, self.tracer, self.begin = True, Tracer(), begin_of(pl_module)
            self.saw_first_batch = batch_idx == 0  # a run that continues may begin within an epoch
            self.steps = StepWatch(trainer, pl_module, self.tracer)
            self.calls, self.record = CallWatch(pl_module, self.tracer), MetricRecord(pl_module, self.tracer)
            self.tracer.watch(type(pl_module).on_train_batch_end, returned=lambda *_: self.tracer.stop())
        elif self.steps is not None:
            self.tracer.stop()
            if min(map(len, self.steps.steps), default=0) >= ENOUGH:
                self.judge(trainer, last=self.steps.batch >= PATIENCE)
            elif self.steps.batch >= GIVE_UP:
                self.judge(trainer, last=False)
                self.stop_steps()
        if trainer.current_epoch > self.first_epoch and batch_idx == 0:
            self.epoch_has_ended(trainer)
        self.passes.see("train", batch)
        if self.steps is None:
            seen = self.passes.complete("train")
            if seen and (trainer.enable_validation or trainer.current_epoch > self.first_epoch):
                self.leave(trainer)  # until an evaluation brings it back, once
                self.report_order()
            return
        if self.tracer.start():
            self.steps.batch += 1
            self.calls.begin(batch)
            self.record.start()
        else:
            self.stop_steps()  # a profiler is at work

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.steps is None:
            return
        self.record.stop()
        self.calls.active = False
        if not self.tracer.is_on():
            self.stop_steps()  # a profiler was
            return
        with self.tracer.paused():  # then on, until the model's own hook of that name returns
            self.without_loss += pl_module.automatic_optimization and not outputs
            self.look(trainer, pl_module)

    def look(self, trainer: Trainer, model: LightningModule) -> None:
        """Check what one batch is enough for."""
        assert self.steps is not None
        found = [*self.steps.findings, *self.calls.findings, *check_losses(self.calls, self.num_classes)]
        found += check_gradients(self.steps, last=False)
        if self.steps.batch == 1:
            found += check_schedules(trainer)
            found += check_first_loss(self.calls) if self.is_new else []
            found += list(check_inputs(self.calls.inputs, "train")) or check_finite(self.calls.batch, "train")
        if self.without_loss == self.steps.batch == PATIENCE:
            found.append(no_loss(definition(model, "training_step")))
        looked = ["called", *(["registered", "loss", "clipping"] if self.steps.backwards else [])]
        looked += ["logits"] if self.calls.losses else []
        looked += ["num_classes"] if self.calls.losses and self.num_classes else []
        looked += ["first_loss"] if self.calls.losses and self.is_new else []
        looked += ["inputs"] if self.calls.inputs is not None else []
        looked += ["schedule"] if trainer.lr_scheduler_configs else []
        self.findings.report(found, *looked)

    def judge(self, trainer: Trainer, *, last: bool) -> None:
        """Check what takes some steps. What follows from a broken rule is not reported beside it."""
        watch, model = self.steps, trainer.lightning_module
        assert watch is not None
        causes = [
            check_optimizers(watch),
            check_order(watch, last=last),
            check_gradients(watch, last=last),
            check_weights(watch, last=last),
        ]
        found = next(filter(None, map(list, causes)), [])
        found += check_modes(model, self.calls, watch.at_first)
        found = found or [*check_independent(trainer, model, self.calls)]
        self.findings.report(found, "optimizer", "order", "gradients", "weights", "train_mode", "independent")
        if last or not watch.waits():
            self.stop_steps()

    def stop_steps(self) -> None:
        """Take everything away that watched the steps."""
        if self.steps is not None:
            self.tracer.stop()
            self.steps.handle.remove()
            self.evaluations.stages["training"] = self.record.updated
            self.steps = None

    def epoch_has_ended(self, trainer: Trainer) -> None:
        if trainer.current_epoch == self.first_epoch + 1:
            self.report_schedulers(trainer)
            self.findings.report(check_second_epoch(trainer, trainer.lightning_module, self.begin))
            if self.steps is not None and not all(self.steps.steps):
                self.judge(trainer, last=True)
        self.passes.next_pass("train")
        self.report_order()

    def report_order(self) -> None:
        if not self.overfit:
            self.findings.report(self.passes.findings(), "shuffling")

    def report_schedulers(self, trainer: Trainer) -> None:
        """Check how often schedulers were stepped, after a whole epoch."""
        if self.saw_first_batch and trainer.fit_loop.epoch_progress.current.completed > self.epochs_before:
            self.findings.report([*check_stepped(trainer, self.schedulers), *check_known(trainer, self.rates)])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch <= self.first_epoch + 1:
            self.report_schedulers(trainer)
        self.report_order()
        if self.steps is not None and self.steps.batch > 1:
            self.judge(trainer, last=True)

"""When the checks look: the first steps, the beginning of the second epoch, the first evaluations of each stage."""

from contextlib import suppress
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from <<cookiecutter.package>>.engine.checks import calls, data, evaluation, model, steps
from <<cookiecutter.package>>.engine.checks.findings import Finding, Findings, definition

ENOUGH = 3  # steps of each optimizer to judge by
PATIENCE = 20  # batches to wait for a gradient that has not come yet
GIVE_UP = 100  # batches to wait for the first steps
BATCHES = ("on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end")
SPLITS = {"validation": "val", "test": "test"}


class TrainingChecks(Callback):
    """Look for training that is wrong without failing, and say which rule is broken and where.

    Training goes on bit for bit as without it. A hook that has seen enough becomes None: Lightning does not call it then.

    Args:
        answer: error stops the run at a broken rule, warn says so and goes on, skip does not look.
        intended: `rule` or `rule:where` of what is meant to be so.

    Raises:
        RuleBroken: a rule is broken. Never in a run that continues, or that only evaluates.
    """

    def __init__(self, answer: str = "error", intended: list[str] | None = None) -> None:
        self.findings = Findings(answer, [] if intended is None else intended, may_stop=False)
        self.report, self.outcomes = self.findings.report, self.findings.outcomes
        self.calls: calls.CallWatch | None = None
        self.steps: steps.StepWatch | None = None
        self.evaluation: evaluation.Evaluation | None = None
        self.num_evaluations = {"validation": 0, "test": 0}
        self.passes = {split: data.Passes() for split in ("train", "val", "test")}
        self.updated: dict[str, set[str]] = {"training": set()}  # by stage, names of metrics
        self.state: dict[str, int] = {}  # of the model when training began, or went on after an evaluation
        self.learnt: set[str] | None = None  # names in it that training changes

    def detach(self, *hooks: str) -> None:
        vars(self).update(dict.fromkeys(hooks))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.findings.answer == "skip" or not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            self.detach(*(hook for hook in vars(TrainingChecks) if hook.startswith("on_")))
        elif stage == "fit":
            self.findings.may_stop, self.max_epochs = True, trainer.max_epochs  # SWA adds one more, without steps
            self.num_classes = getattr(trainer.datamodule, "num_classes", None) or 0
            self.report([*model.check_called(pl_module), *model.check_empty(pl_module)], "called")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.findings.may_stop = trainer.ckpt_path is None  # known since the setup

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.at_start = [x for _, x in model.hidden(pl_module) if isinstance(x, Tensor)]
        self.state, self.first_epoch = evaluation.kept(pl_module), trainer.current_epoch
        self.rates = [getattr(config.scheduler, "last_epoch", 0) for config in trainer.lr_scheduler_configs]
        if not trainer.overfit_batches:
            loaders = {"train": trainer.train_dataloader, "val": trainer.val_dataloaders, "test": test_loader(trainer)}
            self.report(data.check_splits(loaders), "splits")
            self.report(data.check_samplers(loaders["train"], "train"), "shuffling")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for hook in BATCHES:
            vars(self).pop(hook, None)
        if trainer.current_epoch > self.first_epoch:
            self.detach("on_train_epoch_start")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.end_evaluation(trainer, pl_module)
        self.passes["train"].see(batch, batch_idx)
        is_second = self.first_epoch < trainer.current_epoch != self.max_epochs and batch_idx == 0
        if is_second and not pl_module.automatic_optimization and trainer.max_epochs == self.max_epochs:
            self.report(model.check_stepped(trainer, self.rates), "schedule")
        if self.steps is not None:
            self.judge(trainer, pl_module)
        elif is_second or self.calls is None:
            self.steps = steps.StepWatch(trainer, pl_module)
        elif batch_idx >= data.NUM_BATCHES:
            self.detach(*BATCHES)
            self.report(() if trainer.overfit_batches else self.passes["train"].check("train"))
        if self.steps is not None:
            self.steps.start_batch()
            self.before = evaluation.updates(pl_module)
            self.calls = calls.CallWatch(pl_module, self.report, self.before_backward)
            self.calls.start(batch)

    def before_backward(self, losses: list[Tensor]) -> None:
        if self.steps is not None:
            self.steps.backward += 1
            if self.steps.batch <= ENOUGH:
                self.report(model.check_registered(self.steps, losses, self.at_start), "registered", "loss")

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if self.calls is not None and pl_module.automatic_optimization:  # only the optimizer calls functions now
            self.calls.stop_functions()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        watch, told = self.steps, self.calls
        if watch is None or told is None:
            return
        told.stop()
        now = {name for name, count in evaluation.updates(pl_module).items() if count > self.before.get(name, 0)}
        self.updated["training"] |= now - told.functions()
        self.report(calls.check_losses(told, self.num_classes), "logits", "num_classes")
        self.report(model.check_train_mode(watch, told), "train_mode")
        if watch.batch == ENOUGH:
            self.report(model.check_frozen(watch, told))
        if watch.batch == 1 and trainer.current_epoch == self.first_epoch:
            self.report(data.check_inputs(told.inputs, told.batch, "train"), "inputs")
            self.report(model.check_schedules(trainer) if trainer.max_epochs == self.max_epochs else (), "schedule")
            self.report(evaluation.check_trial(trainer, pl_module, told), "independent")

    def judge(self, trainer: Trainer, pl_module: LightningModule, *, ended: bool = False) -> None:
        """Check what takes some steps. What follows from a broken rule is not reported beside it."""
        watch = self.steps
        if watch is None or watch.batch < 2:
            return
        counts, patient = [record.steps for record in watch.records] or [0], watch.batch >= PATIENCE
        last = ended or (patient and max(counts) >= ENOUGH) or watch.batch >= GIVE_UP
        if last or min(counts) >= ENOUGH:
            found = list(steps.check_optimizers(watch)) or list(steps.check_order(watch, last=last and patient))
            found = found or list(steps.check_gradients(watch, last=patient))
            found = found or (list(steps.check_weights(watch)) if patient else [])
            if last and not (found or watch.received or watch.changed()):
                what = "the loss is cut off from the model, or training_step returns none"
                found = [Finding("loss", definition(pl_module, "training_step"), what)]
            self.report(found, "optimizer", "order", "gradients", "weights")
            if last or not (watch.waits() or watch.unmoved()):
                watch.stop()
                self.steps = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.end_evaluation(trainer, pl_module)
        self.judge(trainer, pl_module, ended=True)
        self.stop()

    def stop(self, *args: Any, **kwargs: Any) -> None:
        for watch in (self.calls, self.steps, self.evaluation and self.evaluation.calls):
            if watch is not None:
                watch.stop()
        self.calls = self.steps = self.evaluation = None
        self.detach(*BATCHES)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        watch = self.calls if self.evaluation is None else self.evaluation.calls
        found = list(calls.check_failed(watch, exception)) if watch is not None and watch.handles else []
        self.stop()
        self.report(found)

    def start_evaluation(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.end_evaluation(trainer, pl_module)
        if "on_train_batch_start" in vars(self):  # detached: training may go on before the epoch ends
            self.on_train_batch_start = self.end_evaluation_within_epoch
        held = {id(p) for optimizer in trainer.optimizers for group in optimizer.param_groups for p in group["params"]}
        state = evaluation.kept(pl_module)
        if held or self.learnt:
            self.learnt = (self.learnt or set()) | {n for n, p in pl_module.named_parameters() if id(p) in held}
            self.learnt |= {n for n, bits in state.items() if self.state.get(n, bits) != bits}
        self.evaluation = evaluation.Evaluation(trainer, state, self.learnt, self.report)

    def start_evaluation_batch(self, *args: Any, **kwargs: Any) -> None:
        if self.evaluation is not None:
            self.evaluation.start_batch(args[2])

    def end_evaluation_batch(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        now, (_, _, batch, *index) = self.evaluation, args
        if now is not None:
            self.report(list(now.end_batch(batch)), "eval_mode")
            if not trainer.sanity_checking and not any(index[1:]):  # of the first loader
                entry = now.calls.entry if now.classifies and now.rows else None  # noise may be added in a step
                self.passes[SPLITS[now.stage]].see((entry.args, entry.kwargs) if entry else batch, index[0])

    def end_evaluation_epoch(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.evaluation is not None and not trainer.sanity_checking:
            self.report(self.evaluation.counts(), "metrics")

    def end_evaluation_within_epoch(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.end_evaluation(trainer, pl_module)
        self.detach("on_train_batch_start")

    def end_evaluation(self, trainer: Trainer, pl_module: LightningModule, stage: str = "") -> None:
        """Judge an evaluation when all its hooks have run: at the first hook after it."""
        done, self.evaluation = self.evaluation, None
        if done is None or not done.sizes:
            return
        state = evaluation.kept(pl_module)
        self.report(done.unchanged(state), "unchanged")
        if trainer.sanity_checking:
            self.updated["the sanity check"] = {n for n, count in evaluation.updates(pl_module).items() if count}
            return
        split, others = SPLITS[done.stage], {s: names for s, names in self.updated.items() if s != done.stage}
        self.report(done.scores(), "metrics")
        self.report(done.shared(others if self.findings.may_stop else {}), "stages")  # a metric may be restored
        if not trainer.overfit_batches:
            found = list(data.check_samplers(done.loaders, split)) or self.passes[split].check(split)
            self.report([*found, *done.counted(split)])
        self.updated[done.stage], self.state = done.updated, state
        self.updated.pop("the sanity check", None)
        self.num_evaluations[done.stage] += 1
        if self.num_evaluations[done.stage] == 2:
            self.detach(*(hook for hook in vars(TrainingChecks) if f"on_{done.stage}" in hook))

    on_sanity_check_end = on_train_epoch_end = teardown = end_evaluation
    on_validation_start = on_test_start = start_evaluation
    on_validation_batch_start = on_test_batch_start = start_evaluation_batch
    on_validation_batch_end = on_test_batch_end = end_evaluation_batch
    on_validation_epoch_end = on_test_epoch_end = end_evaluation_epoch


def test_loader(trainer: Trainer) -> Any:
    """Ask for the test loader before training, to compare its samples: nobody has lost an hour yet."""
    with isolate_rng(), suppress(Exception):  # there may be none, or it needs what only a test sets up
        return trainer.datamodule.test_dataloader()

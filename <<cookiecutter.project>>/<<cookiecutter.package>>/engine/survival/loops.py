"""Lightning's training loops with a moment between two steps, when a checkpoint holds all of a run.

Lightning's own hooks are too early or too late for that: at `on_train_batch_end` the step is not logged and the
validation after it has not run; at `on_train_batch_start` the next batch is loaded and has used random numbers.
"""

import re
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from torchmetrics import Metric

from <<cookiecutter.package>>.engine.errors import Preempted
from <<cookiecutter.package>>.engine.survival.rng_state import RngState, rng_state, set_rng_state

# The hooks of a callback that Lightning calls in every batch.
BATCH_HOOKS = [hook for hook in dir(Callback) if re.search("_batch_|_zero_grad|_backward|_optimizer_step", hook)]


class StepCallback(Callback):
    """A callback with four more hooks."""

    def before_run(self, trainer: Trainer) -> None:
        """Called when a checkpoint, if there is one, is loaded; also when it leaves nothing to be trained."""

    def before_first_step(self, trainer: Trainer) -> None:
        """Called after every `on_train_start`."""

    def between_steps(self, trainer: Trainer, *, epoch_ended: bool, stopping: bool = False) -> None:
        """Called when everything that belongs to an optimizer step, or to an epoch, is done.

        With `stopping` the program ends after this call.
        """

    def after_run(self, trainer: Trainer) -> None:
        """Called when the folder of a run says how it ended, well or not, and before the program goes on or ends."""


class EpochLoop(_TrainingEpochLoop):
    """The steps of an epoch; continues from checkpoints that were saved between two of them, or before a validation."""

    validation_is_due = False  # a checkpoint says so that was saved when a validation had been left

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        fit_loop = self.trainer.fit_loop
        self.step_of_last_call = self.global_step
        if self.trainer.current_epoch > 0 and not self.restarting:  # Lightning begins a new pass over the data
            fit_loop.rng_at_iter = rng_state(fit_loop.loaders)
            if fit_loop.is_resuming:  # it does not then: it has begun one before the random state was restored
                iter(data_fetcher)
        super().on_run_start(data_fetcher)
        if not self.restarting:
            fit_loop.rng_at_first_batch = rng_state(fit_loop.loaders)
        # A checkpoint from between two steps leaves nothing to be finished: go on as if nothing had happened.
        self.restarting = fit_loop._restarting = False
        if self.validation_is_due:
            self.step_of_last_call -= 1
            self.val_loop.restarting = self.validation_is_due = False
            self.on_advance_end(data_fetcher)

    def on_save_checkpoint(self) -> dict[str, Any]:
        return super().on_save_checkpoint() | {"validation_is_due": self.validation_is_due}

    def on_load_checkpoint(self, state_dict: dict[str, Any]) -> None:
        self.validation_is_due = state_dict.pop("validation_is_due", False)
        super().on_load_checkpoint(state_dict)

    def validate(self, data_fetcher: _DataFetcher) -> None:
        """Run the validation that is due; when a signal ends it, go back to the moment before it, which can be saved."""
        loaders = self.trainer.fit_loop.loaders
        metrics = [metric for metric in self.trainer.lightning_module.modules() if isinstance(metric, Metric)]
        unused = [metric for metric in metrics if not metric.update_called]
        random_state, progress = rng_state(loaders), self.val_loop.batch_progress.state_dict()
        try:
            super().on_advance_end(data_fetcher)
        except Preempted:
            set_rng_state(random_state, loaders)
            self.val_loop.batch_progress.load_state_dict(progress)
            for metric in unused:
                metric.reset()
            self.trainer.training = self.validation_is_due = True
            call(self.trainer, "between_steps", epoch_ended=False)
            raise

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        if self._should_check_val_fx(data_fetcher):
            self.validate(data_fetcher)
        else:
            super().on_advance_end(data_fetcher)
        if self.global_step > self.step_of_last_call and not self.done:
            self.step_of_last_call = self.global_step
            call(self.trainer, "between_steps", epoch_ended=False)


class FitLoop(_FitLoop):
    """The epochs of a run, and the random states in which its pass over the data began."""

    rng_at_iter: RngState | None = None
    rng_at_first_batch: RngState | None = None

    @property
    def loaders(self) -> list[Any]:
        """The training loaders, usually one."""
        return [] if self._combined_loader is None else self._combined_loader.flattened

    def load_state_dict(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        super().load_state_dict(state_dict, prefix)
        epoch = self.epoch_progress.current
        # Lightning says that any run with max_steps stopped within an epoch.
        self._restarting = self.epoch_loop.restarting = epoch.started > epoch.processed

    @property
    def done(self) -> bool:
        return not self.epoch_loop.validation_is_due and super().done

    def _load_combined_loader_states(self) -> None:
        """Called between making the loaders and beginning a pass. ExactResume sets their positions, once all is restored."""
        self.rng_at_iter = rng_state(self.loaders)

    def run(self) -> None:
        call(self.trainer, "before_run")
        super().run()

    def on_run_start(self) -> None:
        super().on_run_start()
        call(self.trainer, "before_first_step")

    def on_advance_end(self) -> None:
        super().on_advance_end()
        call(self.trainer, "between_steps", epoch_ended=True)


def use_step_callbacks(trainer: Trainer) -> None:
    """Have a trainer call the hooks of StepCallback."""
    epochs = FitLoop(trainer, min_epochs=trainer.min_epochs, max_epochs=trainer.max_epochs)
    epochs.epoch_loop = EpochLoop(trainer, min_steps=trainer.min_steps, max_steps=trainer.max_steps)
    trainer.fit_loop = epochs  # last: the trainer's limits are those of its loop
    for callback in trainer.callbacks:
        for hook in BATCH_HOOKS:
            if getattr(type(callback), hook) is getattr(Callback, hook):
                setattr(callback, hook, None)  # Lightning does not call it then; calling what does nothing takes time


def call(trainer: Trainer, hook: str, **state: Any) -> None:
    """Call a hook of every StepCallback, in their order."""
    for callback in trainer.callbacks:
        if isinstance(callback, StepCallback):
            getattr(callback, hook)(trainer, **state)

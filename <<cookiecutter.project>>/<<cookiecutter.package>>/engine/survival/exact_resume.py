"""Continue from a checkpoint as if the run had never stopped: what Lightning's own checkpoints leave out."""

import warnings
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch.utilities import move_data_to_device
from torch import distributed
from torchmetrics import Metric, MetricCollection

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.survival.loops import StepCallback
from <<cookiecutter.package>>.engine.survival.rng_state import rng_state, set_rng_state

State = dict[str, Any]
CPU = torch.device("cpu")

# Arguments of `self.log`, as Lightning keeps them with each value.
LOG_ARGUMENTS = ("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph")
LOG_ARGUMENTS += ("add_dataloader_idx", "metric_attribute")
REDUCTIONS = (torch.mean, torch.sum, torch.max, torch.min, sum, max, min)  # all that `self.log` takes


class ExactResume(StepCallback):
    """Save and restore, for each process, random states, position in the data, and half-finished metrics.

    A loader with `state_dict` and `load_state_dict` (TensorLoader, torchdata's StatefulDataLoader) goes to its
    position at once. For any other the batches already used are loaded again, in the order of that epoch, and
    dropped. Lightning alone would begin the epoch anew in another order. Out of reach is the random state of
    `persistent_workers` in a plain DataLoader; those of TensorLoader are seeded for each batch.
    """

    def __init__(self) -> None:
        self.saved: State | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: State) -> None:
        state = {
            "rng": rng_state(trainer.fit_loop.loaders),
            "rng_at_iter": trainer.fit_loop.rng_at_iter,
            "rng_at_first_batch": trainer.fit_loop.rng_at_first_batch,
            "metrics": metric_states(pl_module),
            "logged": logged_values(trainer),
            "loaders": [loader.state_dict() for loader in trainer.fit_loop.loaders if isinstance(loader, _Stateful)],
            "callback_metrics": move_data_to_device(dict(trainer.callback_metrics), CPU),
        }
        processes = [state]
        if trainer.world_size > 1:
            processes = [{}] * trainer.world_size
            distributed.all_gather_object(processes, state)
        loggers = [logger.state_dict() for logger in trainer.loggers if isinstance(logger, _Stateful)]
        checkpoint["exact_resume"] = {"processes": processes, "loggers": loggers, "should_stop": trainer.should_stop}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: State) -> None:
        self.saved = checkpoint.get("exact_resume")

    def before_run(self, trainer: Trainer) -> None:
        if self.saved is None:
            return
        if (count := len(self.saved["processes"])) != trainer.world_size:
            raise ConfigError(f"{trainer.ckpt_path} was saved by {count} processes and needs as many: trainer.devices")
        trainer.callback_metrics.update(self.saved["processes"][trainer.global_rank]["callback_metrics"])
        trainer.should_stop = self.saved["should_stop"]
        loggers = (logger for logger in trainer.loggers if isinstance(logger, _Stateful))
        for logger, logger_state in zip(loggers, self.saved["loggers"], strict=True):
            logger.load_state_dict(logger_state)

    def before_first_step(self, trainer: Trainer) -> None:
        if self.saved is None:
            return
        state = self.saved["processes"][trainer.global_rank]
        restore_metrics(trainer.lightning_module, state["metrics"])
        if trainer.fit_loop.restarting:  # within an epoch
            restore_logged(trainer, state["logged"])
            go_to_position(trainer, state)
        set_rng_state(state["rng"], trainer.fit_loop.loaders)
        self.saved = None


def go_to_position(trainer: Trainer, state: State) -> None:
    """Begin the pass over the training data again, and leave out the batches that were used."""
    loop = trainer.fit_loop
    loaders: list[Any] = loop.loaders
    batches: Any = loop._data_fetcher
    loop.rng_at_iter, loop.rng_at_first_batch = state["rng_at_iter"], state["rng_at_first_batch"]
    for loader in loaders:
        _set_sampler_epoch(loader, trainer.current_epoch)
    if all(isinstance(loader, _Stateful) for loader in loaders):
        for loader, position in zip(loaders, state["loaders"], strict=True):
            loader.load_state_dict(position)
        iter(batches)
        return
    warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
    set_rng_state(loop.rng_at_iter, loaders)
    iter(batches)
    set_rng_state(loop.rng_at_first_batch, loaders)
    for _ in range(loop.epoch_loop.batch_progress.current.completed):
        next(batches)
    batches.fetched = 0  # the epoch loop adds what was used


def metric_states(module: LightningModule) -> State:
    """Return the state of every metric that has seen a batch and has not been reset since."""
    for collection in module.modules():
        if isinstance(collection, MetricCollection):
            collection.values(copy_state=False)  # gives each metric the state that its group shares
    return {
        name: {"updates": metric.update_count, "state": move_data_to_device(metric.metric_state, CPU)}
        for name, metric in module.named_modules()
        if isinstance(metric, Metric) and metric.update_called
    }


def restore_metrics(module: LightningModule, states: State) -> None:
    for name, saved in states.items():
        metric = module.get_submodule(name)
        for key, value in saved["state"].items():
            setattr(metric, key, move_data_to_device(value, module.device))
        metric._update_count = saved["updates"]


def logged_values(trainer: Trainer) -> list[State]:
    """Return what `self.log` has gathered in this epoch, each value with the arguments it was logged with."""
    values = []
    for result in trainer.fit_loop.epoch_loop._results.values():
        if not result.has_reset:
            sync = {"sync_dist": result.meta.sync.should, "rank_zero_only": result.meta.sync.rank_zero_only}
            arguments = {name: getattr(result.meta, name) for name in LOG_ARGUMENTS} | sync
            arguments["reduce_fx"] = REDUCTIONS.index(result.meta.reduce_fx)
            state = {name: getattr(result, name) for name in (*result._defaults, "_forward_cache")}
            values.append({"arguments": arguments, "state": move_data_to_device(state, CPU)})
    return values


def restore_logged(trainer: Trainer, values: list[State]) -> None:
    module, results = trainer.lightning_module, trainer.fit_loop.epoch_loop._results
    for saved in values:
        arguments, attribute = saved["arguments"], saved["arguments"]["metric_attribute"]
        value = module.get_submodule(attribute) if attribute else torch.zeros((), device=module.device)
        reduction = REDUCTIONS[arguments["reduce_fx"]]
        results.log(value=value, sync_dist_fn=trainer.strategy.reduce, **(arguments | {"reduce_fx": reduction}))
        for name, state in move_data_to_device(saved["state"], module.device).items():
            setattr(results[f"{arguments['fx']}.{arguments['name']}"], name, state)
    trainer._logger_connector._first_loop_iter = False  # else the first batch resets them

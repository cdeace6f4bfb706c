"""Does what was learnt hold for samples that were not trained on?"""

from collections.abc import Iterator
from typing import Any

from lightning import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from <<cookiecutter.package>>.engine.build import build

from .changed_batch import change, labels_of
from .finding import Finding
from .trial import Batches, loggers, trainer_block, with_loader

NUM_BATCHES = 50


def check_unseen(cfg: DictConfig, data: LightningDataModule, model: LightningModule) -> Iterator[Finding]:
    """(26) Validation scores better with its own labels than with those of the next sample in each batch."""
    if cfg.monitor is None or not is_overridden("val_dataloader", data):
        return
    loader: Any = data.val_dataloader()
    if isinstance(loader, list | tuple | dict) or labels_of(next(iter(loader), None)) is None:
        return

    def of_others() -> Iterator[Any]:
        return (change(batch, labels=lambda labels: labels.roll(1)) for batch in loader)

    own, others = (score(cfg, data, model, source) for source in (lambda: iter(loader), of_others))
    if own is None or others is None or own == others:  # the score does not depend on labels
        return
    better = own < 0.98 * others if cfg.mode == "min" else own > others + 0.02
    if not better:
        yield Finding(
            "zero_inputs",
            "data",
            f"after the doctor's training {cfg.monitor} is {own:.3g}, and {others:.3g} with the labels of other samples",
            "if it stays so, nothing is learnt that holds for unseen samples",
            "look at some images beside their labels: were they put in order apart? Else training is only slow",
            warning=True,
        )


def score(cfg: DictConfig, data: LightningDataModule, model: LightningModule, source: Any) -> float | None:
    """Return the monitored value of a validation over the batches of `source`."""
    options = {"limit_val_batches": NUM_BATCHES, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = build(trainer_block(cfg, **options), logger=loggers(cfg), default_root_dir=cfg.run_dir)
    trainer.validate(model, datamodule=with_loader(data, Batches(source, NUM_BATCHES), "val"), verbose=False)
    value = trainer.callback_metrics.get(cfg.monitor)
    return None if value is None else value.item()

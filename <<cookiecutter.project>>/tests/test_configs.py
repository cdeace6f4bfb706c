"""Every file under configs/ composes, and every `_target_` takes the arguments it is given."""

from typing import Any

import pytest
import torch
from conftest import CONFIGS, options
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from <<cookiecutter.package>>.engine.build import build, build_optimizer
from <<cookiecutter.package>>.engine.config_keys import check_config
from <<cookiecutter.package>>.engine.targets import check_blocks

GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != "hydra")


@pytest.mark.parametrize("choice", [f"{group}={option}" for group in GROUPS for option in options(group)])
def test_every_config_file_composes_and_fits_its_targets(compose_config, choose, choice):
    cfg = compose_config(*choose(choice), "name=check")
    check_config(cfg)
    check_blocks(cfg)


class Linear(LightningModule):
    """The smallest model that a trainer takes, for an optimizer and a scheduler."""

    def __init__(self, optimizer, scheduler):
        super().__init__()
        self.layer, self.blocks = nn.Linear(2, 1), (optimizer, scheduler)

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).sum()

    def configure_optimizers(self) -> Any:
        return build_optimizer(self, *self.blocks)


@pytest.mark.parametrize(
    "choice", [f"{group}={name}" for group in ("optimizer", "scheduler", "loss") for name in options(group)]
)
def test_every_optimizer_scheduler_and_loss_builds(compose_config, choose, choice, tmp_path):
    cfg = compose_config(*choose(choice))
    assert isinstance(build(cfg.loss), nn.Module)
    model = Linear(cfg.optimizer, cfg.scheduler)
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=tmp_path)
    trainer.fit(model, train_dataloaders=DataLoader(TensorDataset(torch.ones(2, 2))))
    assert trainer.global_step == 2


@pytest.mark.parametrize("choice", [f"{group}={name}" for group in ("logger", "trainer") for name in options(group)])
def test_every_logger_and_trainer_builds(compose_config, choose, choice, tmp_path):
    if choice in ("logger=tensorboard", "logger=wandb", "logger=mlflow"):
        pytest.importorskip(choice.partition("=")[2], reason=f"{choice} needs the package")
    cfg = compose_config(*choose(choice), "name=check", "mode=min", f"runs_dir={tmp_path}")
    callbacks = [build(block) for block in cfg.callbacks.values() if block]
    loggers = [build(block) for block in cfg.logger.values() if block]
    assert isinstance(build(cfg.trainer, callbacks=callbacks, logger=loggers), Trainer)


@pytest.mark.parametrize("name", options("metrics"))
def test_every_metric_builds(compose_config, choose, name):
    for block in compose_config(*choose(f"metrics={name}")).metrics.values():
        build(block, num_classes=3)

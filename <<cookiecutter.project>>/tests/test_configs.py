"""Every file under configs/ composes, and every `_target_` takes the arguments it is given."""

import pytest
from conftest import CONFIGS, options
from lightning import Trainer
from omegaconf import OmegaConf

from <<cookiecutter.package>>.engine.build import (
    SCHEDULER_KEYS,
    arguments,
    blocks,
    build,
    build_model,
    check_blocks,
    check_values,
    find,
)
from <<cookiecutter.package>>.engine.errors import ConfigError

GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != "hydra")
CHOICES = [f"{group}={option}" for group in GROUPS for option in options(group)]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_config_file_composes_fits_its_targets_and_builds(compose_config, choose, tmp_path, choice):
    group, _, option = choice.partition("=")
    if group == "logger" and option not in ("csv", "none"):
        pytest.importorskip(option, reason=f"logger={option} needs the package {option}")
    model_for_rows = ["model=mlp"] if choice == "data=table" else []
    cfg = compose_config(*choose(choice), *model_for_rows, "name=check", f"runs_dir={tmp_path}")
    check_blocks(cfg)
    model = build_model(cfg, build(cfg.data))
    callbacks = [build(block) for block in cfg.callbacks.values()]
    loggers = [build(block) for block in cfg.logger.values()]
    assert isinstance(build(cfg.trainer, callbacks=callbacks, logger=loggers), Trainer)
    optimizer = build(cfg.optimizer, params=model.parameters())
    if cfg.scheduler:
        block = {key: value for key, value in cfg.scheduler.items() if key not in SCHEDULER_KEYS}
        scheduler = build(block, optimizer=optimizer, total_steps=100, max_lr=0.1)
        assert scheduler.optimizer is optimizer


def test_the_config_of_evaluate_composes_and_its_trainer_values_fit(compose_config):
    cfg = compose_config(config_name="evaluate")
    trainer = compose_config().trainer
    trainer.merge_with(cfg.trainer)
    check_blocks(OmegaConf.create({"trainer": trainer}))


def test_a_library_that_is_not_trusted_is_not_called():
    with pytest.raises(ConfigError, match=r"os\.getcwd is not in TRUSTED"):
        build({"_target_": "os.getcwd"})


def test_an_error_in_a_nested_block_of_your_own_keeps_its_type(monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError

    outer = "<<cookiecutter.package>>.data.images.digits.load_splits"
    inner = "<<cookiecutter.package>>.data.images.digits.Digits"
    monkeypatch.setattr(find(inner), "__init__", broken)
    with pytest.raises(ZeroDivisionError):
        build({"_target_": outer, "val_fraction": {"_target_": inner}, "split_seed": 0})


def check(cfg):
    check_values(cfg)
    check_blocks(cfg)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainer.max_epoch=5", "trainer.max_epoch is not an argument of lightning.Trainer; did you mean max_epochs"),
        ("+model.chanels=5", "model.chanels is not an argument .* did you mean channels"),
        ("model._target_=torch.nn.Nothing", "model._target_: torch.nn.Nothing does not exist"),
        ("model._target_=torch.nn.nowhere.Nothing", "there is no module 'torch.nn.nowhere'"),
        ("model._target_=os.system", "model._target_: os.system is not in TRUSTED"),
        ("data.val_fraction=half", "data.val_fraction must be float, got 'half'"),
        ("runs_dir=", "runs_dir must be str, got ''"),
        ("overwrite=maybe", "overwrite must be bool, got 'maybe'"),
        ("name=1e3", r"name must be str \| int \| None, got 1000.0"),
        ("data.batch_size=1.5", "data.batch_size must be int, got 1.5"),
    ],
)
def test_a_wrong_config_is_named_by_its_key(compose_config, override, message):
    with pytest.raises(ConfigError, match=message):
        check(compose_config(override))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.val_fraction=10", "data.val_fraction must be between 0 and 1, got 10"),
        ("data.batch_size=0", "data.batch_size must be at least 1, got 0"),
        ("data.num_workers=-1", "data.num_workers must be at least 0, got -1"),
    ],
)
def test_a_value_out_of_range_is_named_by_its_key(compose_config, override, message):
    with pytest.raises(ConfigError, match=message):
        build(compose_config(override).data)


def test_keyword_arguments_are_followed_to_the_parent_class(compose_config):
    accepted, open_ended = arguments(find(compose_config("model=cnn").model._target_))
    assert {"channels", "num_classes", "loss"} <= accepted.keys()
    assert not open_ended


def test_blocks_are_found_at_any_depth():
    config = {"a": {"_target_": "x", "b": {"c": {"_target_": "y"}}}}
    assert [key for key, _ in blocks(config, key="")] == ["a", "a.b.c"]

"""A config is checked against its targets before anything is built: one message with the key."""

from collections.abc import Sequence

import pytest
from my_project.engine.build import build
from my_project.engine.config_keys import check_config
from my_project.engine.errors import ConfigError
from my_project.engine.targets import arguments, blocks, check_blocks, find, fits
from omegaconf import OmegaConf


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

    inner = "my_project.data.images.augment.RandomAffine"
    monkeypatch.setattr(find(inner), "__init__", broken)
    with pytest.raises(ZeroDivisionError):
        build({"_target_": "my_project.data.images.digits.Digits", "augment": {"affine": {"_target_": inner}}})


def check(cfg):
    check_config(cfg)
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
        ("name=1e3", "name must be str or null, got 1000.0"),
        ("data.batch_size=1.5", "data.batch_size must be int, got 1.5"),
        ("data=table data.drop=age", r"data.drop must be a list, as data.drop=\[age\]$"),
        ("data=table data.categorical=3", r"data.categorical must be a list, as data.categorical=\[3\]$"),
        ("data=table data.drop=null", r"data.drop must be a list, as data.drop=\[\]$"),
        ("data=table data.outliers=drop", "data.outliers must be missing or keep, got 'drop'"),
        ("model=mlp model.hidden_sizes=64", r"model.hidden_sizes must be a list, as model.hidden_sizes=\[64\]$"),
        ("+trainer.devices={a:1}", "trainer.devices must be"),
        ("data.batch_size=[16]", r"data.batch_size must be int, got \[16\]"),
    ],
)
def test_a_wrong_config_is_named_by_its_key(compose_config, override, message):
    with pytest.raises(ConfigError, match=message):
        check(compose_config(*override.split()))


def test_lists_fit_where_one_of_several_kinds_is_a_list(compose_config):
    check(compose_config("trainer.devices=[0]", "optimizer=sgd", "data=table", "data.drop=[age]", "model=tabular_mlp"))
    assert fits([0.9, 0.99], tuple[float, float])
    assert fits(None, Sequence[int] | None)
    assert not fits(1.5, list[int] | str | int)


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

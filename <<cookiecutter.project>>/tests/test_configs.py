"""Every file under configs/ composes, and every `_target_` takes the arguments it is given."""

import pytest
from conftest import CONFIGS, options
from omegaconf import OmegaConf

from <<cookiecutter.package>>.engine.build import arguments, blocks, build, check, find
from <<cookiecutter.package>>.engine.errors import ConfigError

GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != "hydra")
CHOICES = [f"{'+' if group == 'experiment' else ''}{group}={option}" for group in GROUPS for option in options(group)]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_config_file_composes_and_fits_its_target(compose_config, choice):
    cfg = compose_config(choice.lstrip("+"), "name=check")
    check(cfg)


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.startswith(("optimizer", "scheduler"))])
def test_every_optimizer_and_scheduler_builds(compose_config, choice):
    cfg = compose_config(choice)
    model = build(cfg.model, recursive=False, **model_arguments(cfg))
    optimizer = build(cfg.optimizer, params=model.parameters())
    if cfg.scheduler:
        block = {key: value for key, value in cfg.scheduler.items() if key != "interval"}
        scheduler = build(block, optimizer=optimizer, total_steps=100)
        optimizer.step()
        scheduler.step()


def model_arguments(cfg):
    training = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in ("loss", "metrics", "optimizer")}
    return {"num_classes": 10, "input_shape": (1, 8, 8), **training}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainer.max_epoch=5", "trainer.max_epoch is not an argument of lightning.Trainer; did you mean max_epochs"),
        ("+model.chanels=5", "model.chanels is not an argument .* did you mean channels"),
        ("model._target_=torch.nn.Nothing", "model._target_: torch.nn.Nothing does not exist"),
        ("model._target_=torch.nn.nowhere.Nothing", "there is no module 'torch.nn.nowhere'"),
        ("model._target_=os.system", "model._target_: os.system is not in TRUSTED"),
        ("data.val_fraction=half", "data.val_fraction must be float, got 'half'"),
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
    config = {"a": {"_target_": "x", "b": [{"_target_": "y"}]}}
    assert [key for key, _ in blocks(config, key="")] == ["a", "a.b[0]"]

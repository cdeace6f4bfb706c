"""The checks of every run find what is broken, say where, and leave a healthy run alone."""

import pytest
import torch
from lightning import Trainer
from <<cookiecutter.package>>.engine.checks.finding import RULES

from <<cookiecutter.package>>.engine.errors import ConfigError, RuleBroken
from <<cookiecutter.package>>.engine.run import evaluate, train
from <<cookiecutter.package>>.engine.survival.loops import StepCallback
from <<cookiecutter.package>>.models.mlp import MLP

SHORT = ["model=mlp", "model.hidden_sizes=[16]", "trainer.max_epochs=2", "+trainer.limit_train_batches=6"]
SHORT += ["callbacks.progress=null", "trainer.accelerator=cpu"]


def weights(cfg):
    return torch.load(f"{cfg.run_dir}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


def never_clear(self, *args):
    """Leave out zero_grad."""


def eval_features(self):
    self.hidden.eval()


def forward_directly(self, batch, batch_idx):
    images, labels = batch
    return self.loss(self.forward(images), labels)


@pytest.mark.parametrize(
    ("method", "broken", "rule", "where"),
    [
        ("optimizer_zero_grad", never_clear, "order", "test_checks.py"),
        ("on_train_epoch_start", eval_features, "train_mode", "hidden"),
        ("training_step", forward_directly, "called", "test_checks.py"),
    ],
)
def test_a_broken_rule_stops_the_run_and_is_named_with_its_place(
    compose_config, monkeypatch, method, broken, rule, where
):
    monkeypatch.setattr(MLP, method, broken)
    with pytest.raises(RuleBroken) as stopped:
        train(compose_config(*SHORT))
    message = str(stopped.value)
    assert RULES[rule][0] in message
    assert any(where in line for line in message.splitlines() if line.startswith("  where"))


def test_what_is_intended_and_what_only_warns_goes_on(compose_config, monkeypatch, capsys):
    monkeypatch.setattr(MLP, "on_train_epoch_start", eval_features)
    train(compose_config(*SHORT, "intended=[train_mode:hidden]"))
    train(compose_config(*SHORT, "checks=skip"))
    assert "wrong" not in capsys.readouterr().err
    train(compose_config(*SHORT, "checks=warn"))
    assert "hidden (Sequential) trains in eval mode" in capsys.readouterr().err


def test_a_run_with_checks_ends_with_the_weights_of_one_without_them(compose_config):
    checked, unchecked = compose_config(*SHORT), compose_config(*SHORT, "checks=skip")
    train(checked)
    train(unchecked)
    expected = weights(unchecked)
    assert all(torch.equal(value, expected[name]) for name, value in weights(checked).items())


class Present(StepCallback):
    """Notes in which steps the checks are among the callbacks."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer: Trainer, *args, **kwargs):
        if any(type(callback).__name__ == "TrainingChecks" for callback in trainer.callbacks):
            self.steps.append(trainer.global_step)


def test_the_checks_leave_the_trainer_when_they_have_seen_enough(compose_config, monkeypatch):
    present = Present()
    monkeypatch.setattr(MLP, "configure_callbacks", lambda self: [present])
    train(compose_config(*SHORT, "trainer.max_epochs=4", "++trainer.limit_train_batches=20"))
    assert present.steps == [*range(1, 8), *range(21, 28)]


def test_evaluate_checks_too(compose_config, monkeypatch):
    cfg = compose_config(*SHORT)
    train(cfg)
    monkeypatch.setattr(MLP, "on_test_batch_start", lambda self, *args: self.train())
    with pytest.raises(RuleBroken, match="runs in train mode during test"):
        evaluate(compose_config(f"run={cfg.run_dir}", config_name="evaluate"))


@pytest.mark.parametrize("mistake", ["checks=maybe", "checks=null", "intended=[ordre]", "intended=order"])
def test_a_mistake_in_the_config_of_the_checks_is_one_message(compose_config, mistake):
    with pytest.raises(ConfigError, match=f"{mistake.partition('=')[0]} must"):
        train(compose_config(*SHORT, mistake))

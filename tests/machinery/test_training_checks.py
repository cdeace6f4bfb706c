"""The checks of every run find what is broken, say where, and leave a healthy run alone."""

import pytest
import torch
from lightning import Trainer
from my_project.engine.checks import data, evaluation
from my_project.engine.checks.rules import RULES
from my_project.engine.checks.training_checks import TrainingChecks
from my_project.engine.doctor.examine import examine
from my_project.engine.errors import ConfigError, RuleBroken
from my_project.engine.run import evaluate, train
from my_project.engine.survival.loops import StepCallback
from my_project.models.mlp import MLP
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, TensorDataset

SHORT = ["model=mlp", "model.hidden_sizes=[16]", "trainer.max_epochs=2", "+trainer.limit_train_batches=6"]
SHORT += ["callbacks.progress=null", "trainer.accelerator=cpu"]


def weights(cfg):
    return torch.load(f"{cfg.run_dir}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


def never_clear(self, *args):
    """Leave out zero_grad."""


def eval_features(self):
    self.hidden.eval()


@pytest.mark.parametrize(
    ("method", "broken", "rule", "where"),
    [
        ("optimizer_zero_grad", never_clear, "order", "test_training_checks.py"),
        ("on_train_epoch_start", eval_features, "train_mode", "hidden"),
    ],
)
def test_a_broken_rule_stops_the_run_and_is_named_with_its_place(
    compose_config, monkeypatch, method, broken, rule, where
):
    monkeypatch.setattr(MLP, method, broken)
    with pytest.raises(RuleBroken) as stopped:
        train(compose_config(*SHORT))
    message = str(stopped.value)
    assert RULES[rule].title in message
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
    """Notes after which steps the checks still look."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer: Trainer, *args, **kwargs):
        checks = next(callback for callback in trainer.callbacks if isinstance(callback, TrainingChecks))
        if checks.on_train_batch_start is not None:
            self.steps.append(trainer.global_step)


def test_nothing_is_called_in_a_step_when_the_checks_have_seen_enough(compose_config, monkeypatch):
    present = Present()
    monkeypatch.setattr(MLP, "configure_callbacks", lambda self: [present])
    train(compose_config(*SHORT, "trainer.max_epochs=4", "++trainer.limit_train_batches=20"))
    assert present.steps == [*range(1, 7), *range(21, 27)]


def test_looking_is_cheap(compose_config, monkeypatch):
    """The state is summed twice an evaluation, and torch's functions are not watched in the step of an optimizer."""
    sums, modes, kept = [], [], evaluation.kept
    monkeypatch.setattr(evaluation, "kept", lambda model: sums.append(1) or kept(model))
    hook = register_optimizer_step_post_hook(
        lambda *_: modes.extend(torch.overrides._get_current_function_mode_stack())
    )
    try:
        train(compose_config(*SHORT))
    finally:
        hook.remove()
    assert (len(sums), modes) == (2 * 4 + 1, [])  # two epochs, the sanity check and the test; and the start


NO_LABELS = [
    (lambda labels: labels + 1, "they seem to count from 1"),
    (lambda labels: labels.float(), r"labels are torch.float32 \[\d+\], not int64"),
    (lambda labels: labels[:, None], r"labels are torch.int64 \[\d+, 1\], not int64"),
]


@pytest.mark.parametrize(("change", "what"), NO_LABELS)
@pytest.mark.parametrize("steps", [0, 2])
def test_labels_that_are_none_are_named_before_a_metric_or_the_loss_fails_on_them(
    compose_config, monkeypatch, change, what, steps
):
    monkeypatch.setattr(MLP, "on_before_batch_transfer", lambda self, batch, _: [batch[0], change(batch[1])])
    with pytest.raises(RuleBroken, match=what) as stopped:
        train(compose_config(*SHORT, f"+trainer.num_sanity_val_steps={steps}"))
    assert "rule    labels name a class" in str(stopped.value)


def test_the_doctor_names_such_labels_too(compose_config, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MLP, "on_before_batch_transfer", lambda self, batch, _: [batch[0], batch[1] + 1])
    with pytest.raises(RuleBroken, match="the labels are wrong"):
        examine(compose_config(*SHORT))
    assert "they seem to count from 1" in capsys.readouterr().out


def test_a_metric_that_fails_on_right_labels_keeps_its_own_error(compose_config):
    with pytest.raises(Exception, match="equal to number of classes") as failed:
        train(compose_config(*SHORT, "+metrics.top={_target_:torchmetrics.Accuracy,task:multiclass,num_classes:3}"))
    assert not isinstance(failed.value, RuleBroken)


def test_samples_in_two_splits_are_named_by_row_and_are_wrong_where_they_have_labels():
    rows, labels = torch.arange(400.0).reshape(100, 4), torch.arange(100)
    for columns, verdict in (((rows, labels), None), ((rows,), "check")):
        train, val = (TensorDataset(*(x[part] for x in columns)) for part in (slice(80), slice(75, 100)))
        (finding,) = data.check_splits({"train": DataLoader(train), "val": DataLoader(val)})
        assert finding.what.startswith("5 of 25 samples of val are in train too: train 75 = val 0, train 76 = val 1")
        assert finding.verdict == verdict


@pytest.mark.parametrize("epochs", [1, 2])
def test_weight_averaging_has_a_plan_of_its_own(compose_config, capsys, epochs):
    averaging = "{_target_:lightning.pytorch.callbacks.StochasticWeightAveraging,swa_lrs:0.001}"
    train(compose_config(*SHORT, f"trainer.max_epochs={epochs}", f"+callbacks.swa={averaging}"))
    assert "  rule    " not in capsys.readouterr().err


def test_evaluate_checks_too_and_stops_nothing(compose_config, monkeypatch, capsys):
    cfg = compose_config(*SHORT)
    train(cfg)
    monkeypatch.setattr(MLP, "on_test_batch_start", lambda self, *args: self.train())
    evaluate(compose_config(f"run={cfg.run_dir}", config_name="evaluate"))
    assert "intended: [eval_mode:MLP.forward]" in capsys.readouterr().err


@pytest.mark.parametrize("mistake", ["intended=[ordre]", "intended=order"])
def test_a_mistake_in_the_config_of_the_checks_is_one_message(compose_config, mistake):
    with pytest.raises(ConfigError, match="intended must"):
        train(compose_config(*SHORT, mistake))

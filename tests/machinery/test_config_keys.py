"""A key that nobody reads is refused, wherever it stands, and so is a value that cannot be right, before torch is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import PROJECT, capture, summary_of
from my_project.engine.build import better, build, build_model
from my_project.engine.command_line import as_meant
from my_project.engine.config_keys import check_config
from my_project.engine.errors import ConfigError
from my_project.engine.run import train
from omegaconf import OmegaConf

CPU = ["trainer.accelerator=cpu", "trainer.max_epochs=1", "test=false"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+lr=0.5", "lr is no key; did you mean optimizer.lr?"),
        ("+max_epoch=3", "max_epoch is no key; did you mean trainer.max_epochs?"),
        ("+monitr=val/loss", "monitr is no key; did you mean monitor?"),
        ("+batch_size=3", "batch_size is no key; did you mean data.batch_size?"),
        ("+anything.at.all=3", "A value of your own belongs under `own`, as .own.anything"),
        ("+callbacks.early_stoping.patience=3", "callbacks.early_stoping .* did you mean callbacks.early_stopping?"),
        ("+callbacks.patience=3", "callbacks.patience must be a block with a _target_, or null, got 3"),
        ("+metrics.acuracy.top_k=3", "metrics.acuracy .* did you mean metrics.accuracy?"),
        ("+logger.csvv.path=x", "logger.csvv has no _target_"),
        ("+data.augment.afine.degrees=3", "data.augment.afine .* did you mean data.augment.affine?"),
        ("+data.augment.degrees=3", "data.augment.degrees must be a block with a _target_"),
        ("+trainer.logger=false", "logger has two places, trainer.logger and logger: use the second"),
        ("~data._target_", "data has no _target_"),
        ("name=a/b", "name must be one folder"),
        ("name=2026", "name must be str"),
        ("data.val_fraction=10", "data.val_fraction must be between 0 and 1, got 10"),
        ("data.val_fraction=-0.1", "data.val_fraction must be between 0 and 1"),
        ("+data.path=nowhere.csv", "data.path=nowhere.csv does not exist"),
        ("+data.root=nowhere", "data.root=nowhere does not exist"),
        ("checkpoint=nowhere.ckpt", "checkpoint=nowhere.ckpt does not exist"),
        ("checks=loud", "checks must be error, warn or skip, got 'loud'"),
        ("checks=null", "checks must be error, warn or skip, got None"),
        ("mode=best", "mode must be auto, min or max, got 'best'"),
        ("seed=x", "seed must be int"),
    ],
)  # fmt: skip
def test_a_key_or_a_value_that_cannot_be_meant_is_one_message(compose_config, override, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        check_config(compose_config(override))


def test_a_misspelt_key_in_your_own_yaml_is_refused(compose_config):
    cfg = compose_config()
    with pytest.raises(ConfigError, match=r"patience is no key; did you mean callbacks.early_stopping.patience\?"):
        check_config(OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(cfg)), {"patience": 3}))


def test_a_value_of_your_own_has_a_place(compose_config):
    cfg = compose_config("+own.width=7", "model.channels=${own.width}")
    check_config(cfg)
    assert cfg.model.channels == 7


def test_an_interpolation_to_nowhere_names_its_key(compose_config):
    with pytest.raises(ConfigError, match=r"seed: Interpolation key 'paths\.x' not found$"):
        check_config(compose_config("seed=${paths.x}"))


def test_the_home_folder_is_meant_in_every_path(compose_config, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    cfg = compose_config()
    cfg.runs_dir, cfg.callbacks.finite_loss.path, cfg.data.augment.affine = "~/runs", "~", None
    check_config(cfg)
    assert (cfg.run_dir.rpartition("/")[0], cfg.callbacks.finite_loss.path) == (f"{tmp_path}/runs", str(tmp_path))
    assert as_meant("data.root=~/images") == f"data.root={tmp_path}/images"
    assert as_meant("data.root=~x") == "data.root=~x"


@pytest.mark.parametrize("name", ["2026_11_25", "7", "null", "a_1", "1e3x"])
def test_a_name_of_digits_is_that_name(compose_config, name):
    override = as_meant(f"name={name}")
    assert compose_config(override).name == (None if name == "null" else name)
    assert as_meant("name=1_0,2_0") == "name='1_0','2_0'"


@pytest.fixture
def model(compose_config, request):
    def built(*overrides):
        cfg = compose_config(*overrides)
        return build_model(cfg, build(cfg.data))

    return built


def test_auto_asks_the_metric_and_a_contradiction_is_refused(model):
    block = "{_target_:torchmetrics.classification.MulticlassCalibrationError,num_classes:10}"
    matrix = "{_target_:torchmetrics.classification.MulticlassConfusionMatrix}"
    module = model(f"+metrics.calibration={block}", f"+metrics.matrix={matrix}")
    for monitor, mode in {"val/accuracy": "max", "val/f1": "max", "val/calibration": "min", "val/loss": "min"}.items():
        assert better(module, monitor, "auto") == better(module, monitor, mode) == mode
        with pytest.raises(ConfigError, match=f"would keep the worst checkpoint: of {monitor}, {mode} is better"):
            better(module, monitor, {"min": "max", "max": "min"}[mode])
    assert better(module, "val/matrix", "max") == "max"
    assert better(module, None, "auto") == "auto"
    for unknown in ("val/matrix", "val/acuracy"):
        with pytest.raises(ConfigError, match="mode must be min or max"):
            better(module, unknown, "auto")


def test_early_stopping_follows_the_monitor(compose_config):
    """With a rate of almost 0 the accuracy never improves after the first epoch."""
    cfg = compose_config(*CPU[::2], "trainer.max_epochs=6", "monitor=val/accuracy", "scheduler=none", "optimizer.lr=1e-30",
                         "callbacks.early_stopping.patience=2", "checks=skip")  # fmt: skip
    train(cfg)
    assert "val/accuracy had not improved for 2 epochs" in summary_of(cfg)["stopped"]
    assert summary_of(cfg)["best_epoch"] == 1


def test_a_monitor_that_is_never_logged_is_said_with_the_names_there_are(compose_config, capsys):
    train(compose_config(*CPU, "+trainer.limit_val_batches=0", "+trainer.limit_train_batches=2"))
    out = capsys.readouterr().out
    assert "monitor=val/loss was never logged, so there is no best.ckpt. Logged were: train/loss" in out


def test_weights_of_the_classes_are_a_list_of_the_config(compose_config, model):
    cfg = compose_config(*CPU, "+loss.weight=[1,2,1,1,1,1,1,1,1,1]", "+trainer.limit_train_batches=2")
    train(cfg)
    weights = torch.load(Path(cfg.run_dir, "checkpoints/last.ckpt"), weights_only=True)["state_dict"]["loss.weight"]
    assert weights.tolist() == [1, 2, *[1] * 8]
    with pytest.raises(ConfigError, match=r"loss.weight must have 10 numbers, one for each class, got 3"):
        model("+loss.weight=[1,2,3]")


def test_an_optimizer_has_one_place(model):
    with pytest.raises(ConfigError, match=r"optimizer has two places, model\.optimizer and optimizer"):
        model("+model.optimizer.lr=5")


def test_warm_up_then_cosine(compose_config):
    cfg = compose_config(*CPU, "scheduler=warmup_cosine", "trainer.max_epochs=6", "trainer.log_every_n_steps=1",
                         "+trainer.limit_train_batches=1")  # fmt: skip
    train(cfg)
    lines = [line.split(",") for line in Path(cfg.run_dir, "metrics.csv").read_text().splitlines()]
    rates = [float(line[lines[0].index("lr")]) for line in lines[1:] if line[lines[0].index("lr")]]
    assert rates == pytest.approx([0.001, 0.004, 0.007, 0.01, 0.0075, 0.0025])


@pytest.mark.parametrize("choice", ["metrics=none", "~metrics"])
def test_metrics_may_be_none_at_all(compose_config, choice):
    cfg = compose_config(*CPU, choice, "+trainer.limit_train_batches=2")
    train(cfg)
    assert list(summary_of(cfg)["metrics"]) == ["val/loss"]


def test_the_learning_rate_finder_sets_the_rate_of_the_optimizer(compose_config):
    finder = "{_target_:lightning.pytorch.callbacks.LearningRateFinder,num_training_steps:30,early_stop_threshold:null}"
    cfg = compose_config(*CPU, f"+callbacks.finder={finder}", "scheduler=none", "checks=warn")
    train(cfg)
    checkpoint = torch.load(Path(cfg.run_dir, "checkpoints/last.ckpt"), weights_only=True)
    rate = checkpoint["optimizer_states"][0]["param_groups"][0]["lr"]
    assert rate == checkpoint["hyper_parameters"]["optimizer"]["lr"]
    assert rate != cfg.optimizer.lr


def test_what_a_user_asked_lightning_for_is_seen(tmp_path):
    saver = (
        "{_target_:lightning.pytorch.callbacks.ModelCheckpoint,verbose:true,monitor:val/loss,dirpath:${run_dir}/mine}"
    )
    profiler = "{_target_:lightning.pytorch.profilers.SimpleProfiler,dirpath:${run_dir},filename:profile}"
    asked = ["trainer.enable_model_summary=true", f"+trainer.profiler={profiler}", f"+callbacks.saver={saver}"]
    finished = capture(PROJECT, "train.py", *CPU, *asked, f"runs_dir={tmp_path}", "name=asked")
    printed = finished.stdout + finished.stderr
    assert "Trainable params" in printed
    assert "saving model to" in printed
    assert "Total time" in (tmp_path / "asked" / "fit-profile.txt").read_text()
    for unasked in ("GPU available", "litlogger", "`Trainer.fit` stopped"):
        assert unasked not in printed
    printed = capture(PROJECT, "train.py", *CPU, "+trainer.profiler=simple", f"runs_dir={tmp_path}")
    assert "FIT Profiler Report" in printed.stdout + printed.stderr


def test_the_chosen_logger_is_the_first(compose_config):
    for choice in ("tensorboard", "wandb", "mlflow"):
        assert list(compose_config(f"logger={choice}").logger) == [choice, "csv"]


def test_torch_is_not_needed_to_check_a_config():
    """Of the modules that do it, none imports torch."""
    code = "import sys, my_project.engine.command_line; print(sorted({'torch', 'lightning'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"

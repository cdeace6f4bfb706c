"""What a run does at its edges: no validation, no callback, a broken checkpoint, a failure, an earlier run of that name."""

import csv
import json
import subprocess
from pathlib import Path
from threading import Thread

import pytest
import torch
from conftest import PROJECT, summary_of
from my_project.engine.errors import ConfigError
from my_project.engine.provenance import git_state
from my_project.engine.run import train
from my_project.engine.survival.run_folder import Run
from my_project.engine.targets import find
from omegaconf import OmegaConf

CPU = ["trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def run(compose_config):
    """A short, named run."""
    cfg = compose_config("name=short", "trainer.max_epochs=2", "trainer.accelerator=cpu")
    score = train(cfg)
    return cfg, score


def test_a_run_records_what_it_did(run):
    cfg, score = run
    run_dir, summary = Path(cfg.run_dir), summary_of(cfg)
    assert summary["status"] == "finished"
    assert summary["name"] == "short"
    assert summary["seed"] == 0
    assert summary["seconds"] > 0
    assert len(summary["split_sha256"]) == 64
    assert summary["class_names"] == list("0123456789")
    checkpoint = torch.load(run_dir / summary["checkpoint"], weights_only=True)
    assert checkpoint["Digits"]["class_names"] == summary["class_names"]
    assert summary["versions"]["torch"] == torch.__version__
    assert summary["metrics"]["val/loss"]["value"] == score
    assert (run_dir / summary["checkpoint"]).is_file()
    assert OmegaConf.load(run_dir / "config.yaml").trainer.max_epochs == 2
    with (run_dir / "metrics.csv").open() as file:
        assert {"epoch", "step", "lr", "train/loss", "val/loss", "val/accuracy"} <= next(csv.DictReader(file)).keys()


def test_a_summary_is_never_seen_half_written(tmp_path):
    run = Run(tmp_path, {})
    run.record(text="")
    writer = Thread(target=lambda: [run.record(text="x" * length) for length in range(0, 300_000, 3_000)])
    writer.start()
    while writer.is_alive():
        assert set(json.loads((tmp_path / "summary.json").read_text())["text"]) <= {"x"}


def test_the_commit_is_recorded_where_git_tracks_the_project(tmp_path):
    state = git_state()
    git = ["git", "-C", str(PROJECT)]
    tracked = subprocess.run([*git, "ls-files", "--error-unmatch", "train.py"], capture_output=True, check=False)
    if tracked.returncode:
        assert state is None
    else:
        assert state
        assert state["commit"] == subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


def test_overwrite_starts_afresh_and_keeps_the_older_folder_aside(compose_config):
    cfg = compose_config("name=twice", "trainer=debug", "test=false")
    train(cfg)
    weights = (Path(cfg.run_dir) / "checkpoints" / "last.ckpt").read_bytes()
    train(compose_config("name=twice", "trainer=debug", "test=false", "seed=1", "overwrite=true"))
    (aside,) = Path(cfg.runs_dir).glob("twice.replaced-*")
    assert (aside / "checkpoints" / "last.ckpt").read_bytes() == weights
    assert summary_of(cfg)["seed"] == 1


def test_training_can_start_from_the_weights_of_a_checkpoint(run, compose_config):
    cfg, score = run
    weights = Path(cfg.run_dir) / "checkpoints" / "best.ckpt"
    again = train(compose_config(f"checkpoint={weights}", "trainer.max_epochs=1", "optimizer.lr=1e-6", "test=false"))
    assert again is not None
    assert again < 1.5 * score
    with pytest.raises(ConfigError, match="weights of another model"):
        train(compose_config(f"checkpoint={weights}", "model=mlp"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_broken_checkpoint_is_one_message(compose_config, tmp_path, content):
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken.ckpt cannot be read"):
        train(compose_config(f"checkpoint={path}"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_every_precision_with_the_default_optimizer(compose_config, precision):
    cfg = compose_config("trainer=debug", f"trainer.precision={precision}", "name=" + precision)
    train(cfg)
    assert cfg.trainer.gradient_clip_val
    assert summary_of(cfg)["status"] == "finished"


@pytest.mark.parametrize("override", ["+trainer.max_steps=3", "+trainer.limit_val_batches=0"])
def test_a_run_without_validation_finishes(compose_config, override):
    cfg = compose_config(override, "trainer.max_epochs=1")
    assert train(cfg) is None
    assert summary_of(cfg)["status"] == "finished"


@pytest.mark.parametrize("override", ["monitor=val/acc", "scheduler.interval=batch"])
def test_what_lightning_refuses_is_one_message(compose_config, override):
    with pytest.raises(ConfigError, match=override.partition("=")[2]):
        train(compose_config("trainer=debug", "logger=csv", override))


def test_the_same_seed_gives_the_same_weights_and_seed_zero_counts(compose_config):
    def weights(seed):
        cfg = compose_config(f"seed={seed}", "trainer=debug", "trainer.accelerator=cpu", "test=false")
        train(cfg)
        return torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    first, second, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_one_batch_can_be_overfitted(compose_config):
    """Lightning then makes the loader again, unshuffled."""
    plain = ["loss.label_smoothing=0", "data.augment=null", "callbacks.early_stopping=null"]
    cfg = compose_config("+trainer.overfit_batches=1", "trainer.max_epochs=40", *plain)
    train(cfg)
    with (Path(cfg.run_dir) / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses[-1] < 0.05 < losses[0]


@pytest.mark.parametrize("callback", ["checkpoint", "early_stopping", "progress"])
def test_every_callback_can_be_switched_off(compose_config, capsys, callback):
    cfg = compose_config("trainer=debug", f"callbacks.{callback}=null")
    train(cfg)
    summary = summary_of(cfg)
    assert summary["status"] == "finished"
    assert "test/accuracy" in summary["metrics"]
    assert (summary["checkpoint"] is None) == (callback == "checkpoint")
    assert ("epoch 1/1" in capsys.readouterr().out) == (callback != "progress")


def test_a_seed_is_drawn_and_recorded_when_none_is_given(compose_config):
    seeds = set()
    for _ in range(2):
        cfg = compose_config("trainer=debug", "seed=null", "test=false")
        train(cfg)
        seeds.add(summary_of(cfg)["seed"])
    assert len(seeds) == 2


def test_a_run_that_cannot_start_leaves_everything_as_it_was(compose_config):
    cfg = compose_config("name=kept", "trainer=debug", "test=false")
    train(cfg)
    before = summary_of(cfg)
    with pytest.raises(ConfigError, match=r"trainer.precision must be 64, 32, .* got 7"):
        train(compose_config("name=kept", "overwrite=true", "trainer.precision=7"))
    assert summary_of(cfg) == before
    assert [path.name for path in Path(cfg.runs_dir).glob("kept*")] == ["kept"]


def test_a_summary_is_strict_json_even_when_a_metric_is_not_finite(tmp_path):
    Run(tmp_path, {}).record(metrics={"val/loss": {"value": float("nan")}})
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["metrics"]["val/loss"]["value"] == "NaN"


def test_an_error_in_the_model_keeps_its_type_and_marks_the_run_as_failed(compose_config, monkeypatch):
    cfg = compose_config("trainer=debug")

    def broken(self, images):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(find(cfg.model._target_), "forward", broken)
    with pytest.raises(ZeroDivisionError):
        train(cfg)
    assert summary_of(cfg)["status"] == "failed"


def test_metrics_of_many_numbers_are_kept_in_the_summary_of_the_split_they_were_measured_on(compose_config):
    block = "{_target_:torchmetrics.classification."
    metrics = [
        f"+metrics.matrix={block}MulticlassConfusionMatrix}}",
        f"+metrics.roc={block}MulticlassROC,thresholds:5}}",
    ]
    cfg = compose_config(
        *CPU, "trainer.max_epochs=1", *metrics, f"+metrics.each={block}MulticlassAccuracy,average:none}}"
    )
    train(cfg)
    found = summary_of(cfg)["metrics"]
    matrix = torch.tensor(found["test/matrix"]["value"])
    assert (matrix.sum().item(), found["test/matrix"]["num_samples"]) == (360, 360)
    assert (matrix.diag() / matrix.sum(1)).tolist() == pytest.approx(found["test/each"]["value"])
    assert matrix.diag().sum().item() / 360 == pytest.approx(found["test/accuracy"]["value"])
    assert len(found["test/roc"]["value"]) == 3  # false positives, true positives, thresholds
    assert not {"val/matrix", "val/each"} & found.keys()  # of the last epoch, not of the best


def test_a_new_run_begins_with_weights_and_optimizer_of_a_checkpoint(compose_config):
    first = compose_config(*CPU, "trainer.max_epochs=1", "test=false")
    train(first)
    path = Path(first.run_dir) / "checkpoints" / "last.ckpt"
    start = torch.load(path, weights_only=True)["optimizer_states"][0]["state"]
    steps = {}
    for optimizer_state in (True, False):
        limits = ["trainer.max_epochs=1", "+trainer.limit_train_batches=1", "test=false", "optimizer.lr=0.003"]
        cfg = compose_config(*CPU, *limits, f"checkpoint={path}", f"optimizer_state={optimizer_state}")
        train(cfg)
        last = torch.load(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
        steps[optimizer_state] = last["state"][0]["step"].item()
        assert last["param_groups"][0]["max_lr"] == pytest.approx(0.003)
    assert steps == {True: start[0]["step"].item() + 1, False: 1}

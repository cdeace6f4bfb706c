"""A run of train.yaml, made short, trains, tests and records itself, and another process gets its numbers again."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, summary_of
from omegaconf import OmegaConf

from <<cookiecutter.package>>.engine.build import build
from <<cookiecutter.package>>.engine.run import train
from <<cookiecutter.package>>.engine.targets import find
from <<cookiecutter.package>>.models.classifier import Classifier

ROOT = Path(__file__).parent.parent
SHORT = ["trainer.max_epochs=2", "++trainer.limit_train_batches=10", "trainer.accelerator=cpu", "trainer.devices=1"]


@pytest.fixture(scope="module")
def chosen(choose):
    """The data and the model of train.yaml, small where they can be."""
    defaults = OmegaConf.load(CONFIGS / "train.yaml").defaults
    names = {key: value for entry in defaults if not isinstance(entry, str) for key, value in entry.items()}
    return [*choose(f"data={names['data']}"), *choose(f"model={names['model']}")]


@pytest.fixture(scope="module")
def run(compose_config, chosen):
    """The config of a run that has ended."""
    cfg = compose_config(*chosen, *SHORT, "name=short")
    train(cfg)
    return cfg


def checkpoints(cfg):
    return sorted(Path(cfg.run_dir).glob("checkpoints/*.ckpt"))


def test_a_run_records_what_it_did(run):
    summary = summary_of(run)
    assert summary["status"] == "finished"
    assert summary["versions"]["torch"] == torch.__version__
    assert all("value" in metric for metric in summary["metrics"].values())
    assert OmegaConf.load(Path(run.run_dir) / "config.yaml").trainer.max_epochs == 2
    assert not summary["checkpoint"] or (Path(run.run_dir) / summary["checkpoint"]).is_file()


def test_every_checkpoint_is_plain_data(run):
    for path in checkpoints(run):
        assert torch.load(path, weights_only=True)["state_dict"]


def test_accuracy_is_correct_over_total_on_the_whole_split(run):
    recorded, kind = summary_of(run)["metrics"].get("test/accuracy"), find(run.model["_target_"])
    if recorded is None or not (isinstance(kind, type) and issubclass(kind, Classifier)):
        pytest.skip("this run tests no accuracy of a Classifier")
    model = kind.load_from_checkpoint(Path(run.run_dir) / summary_of(run)["checkpoint"], map_location="cpu").eval()
    data, correct, total = build(run.data), 0, 0
    for batch in data.test_dataloader():
        *inputs, labels = data.on_after_batch_transfer(batch, 0)
        with torch.no_grad():
            correct += (model(*inputs).argmax(dim=1) == labels).sum().item()
        total += len(labels)
    assert recorded["num_samples"] == total
    assert recorded["value"] == pytest.approx(correct / total, abs=1e-6)


def test_another_process_gets_the_numbers_of_the_runs_own_test(run):
    tested = {name: metric for name, metric in summary_of(run)["metrics"].items() if name.startswith("test/")}
    if not tested or not summary_of(run)["checkpoint"]:
        pytest.skip("this run has no test, or no best checkpoint")
    command = [sys.executable, "evaluate.py", f"run={run.run_dir}", "trainer.accelerator=cpu"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name, metric in tested.items():
        assert f"{name:<16}{metric['value']:>8.4f}" in printed


def test_the_same_seed_gives_the_same_weights(run, compose_config, chosen):
    again = compose_config(*chosen, *SHORT, "name=again")
    train(again)
    for first, second in zip(checkpoints(run), checkpoints(again), strict=True):
        weights = torch.load(first, weights_only=True)["state_dict"]
        other = torch.load(second, weights_only=True)["state_dict"]
        assert all(torch.equal(value, other[name]) for name, value in weights.items())

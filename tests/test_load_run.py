"""A run opened in Python: its model, data, config, metrics and history, in a script and in a notebook."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from conftest import PROJECT, summary_of
from my_project import load_run
from my_project.engine.errors import ConfigError
from my_project.engine.run import train
from nbclient import NotebookClient

FAST = ["trainer.accelerator=cpu", "trainer.max_epochs=2", "checks=skip", "callbacks.progress=null", "model=mlp"]


@pytest.fixture(scope="module")
def cfg(compose_config):
    cfg = compose_config("name=loaded", *FAST)
    train(cfg)
    return cfg


def test_a_run_gives_its_model_data_config_metrics_and_history(cfg):
    run = load_run(cfg.run_dir)
    assert run.cfg == cfg
    assert run.metrics == summary_of(cfg)["metrics"]
    assert not run.model.training
    correct = total = 0
    for batch in run.data.test_dataloader():
        images, labels = run.data.on_after_batch_transfer(batch, 0)
        with torch.no_grad():
            correct += (run.model(images).argmax(dim=1) == labels).sum().item()
        total += len(labels)
    assert run.metrics["test/accuracy"]["value"] == pytest.approx(correct / total)
    assert isinstance(run.history, pd.DataFrame)
    assert [*run.history["val/loss"].dropna().index] == [*run.history["epoch"][run.history["val/loss"].notna()].index]
    assert run.history["val/loss"].min() == pytest.approx(run.metrics["val/loss"]["value"], rel=1e-4)
    assert load_run(cfg.run_dir, "last").trained.path.name == "last.ckpt"


def test_without_pandas_the_history_is_a_dict_of_columns(cfg, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    history = load_run(cfg.run_dir).history
    assert isinstance(history, dict)
    assert min(filter(None, history["val/loss"])) > 0


def test_what_is_no_run_is_one_message(tmp_path):
    with pytest.raises(ConfigError, match="run must be the folder of a run"):
        load_run(tmp_path)


def test_importing_the_package_does_not_import_torch():
    code = "import sys, my_project; assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)


@pytest.mark.slow
def test_a_run_opens_in_a_jupyter_kernel(cfg):
    cells = [
        f"from my_project import load_run; run = load_run({str(Path(cfg.run_dir).absolute())!r})",
        "run.model(run.data.on_after_batch_transfer(next(iter(run.data.val_dataloader())), 0)[0]).shape",
        "run.history.tail(2)",
        "run.metrics['test/accuracy']['num_samples']",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(PROJECT)}}).execute()
    shown = [cell.outputs[-1]["data"] for cell in notebook.cells[1:]]
    assert shown[0]["text/plain"] == "torch.Size([96, 10])"
    assert "val/loss" in shown[1]["text/html"]
    assert shown[2]["text/plain"] == "360"

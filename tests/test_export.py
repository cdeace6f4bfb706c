"""An exported model computes what the model does, from raw inputs, and an .onnx file needs neither torch nor the project."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from my_project.engine.build import build
from my_project.engine.config_keys import check_config
from my_project.engine.errors import ConfigError, TrainingError
from my_project.engine.export import export
from my_project.engine.run import train
from PIL import Image

FAST = ["trainer.accelerator=cpu", "trainer.max_epochs=1", "checks=skip", "callbacks.progress=null", "test=false"]
FAST += ["+trainer.limit_train_batches=3"]
MANY = ["data.val_fraction=0.5"]  # of validation: 718 digits
slow = pytest.mark.slow
MODELS = [
    pytest.param("cnn", [*MANY]),
    pytest.param("mlp", ["model=mlp", *MANY]),
    pytest.param("resnet", ["model=resnet", *MANY], marks=slow),
    pytest.param("pretrained", ["model=pretrained", "model.weights=null", *MANY], marks=slow),
    pytest.param("tabular_mlp", ["model=tabular_mlp"]),
    pytest.param("tabular_regressor", ["model=tabular_regressor", "data.task=regression"]),
]

# Runs Python in a process where torch and the project cannot be imported.
BLOCKED = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "my_project"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
exec(sys.stdin.read())
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of 2 000 rows: numbers of very different sizes, some missing, categories, and both kinds of target."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("table") / "table.csv"
    numbers = random.normal(size=(2000, 2)) * [1e-3, 50] + [0, 2_000_000_000]
    kinds = np.array(["red", "green", "blue"])[random.integers(3, size=2000)]
    lines = ["small,large,kind,gap,size,class"]
    for (small, large), kind in zip(numbers, kinds, strict=True):
        gap = "" if random.random() < 0.1 else f"{random.normal():.3f}"
        lines.append(f"{small},{large:.2f},{kind},{gap},{1e4 * small + 3:.4f},{'big' if small > 0 else 'not'}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def trained(compose_config, table):
    """Return a function that trains a model for a moment and returns the config of its run."""

    def trained_once(name, overrides):
        if name.startswith("tabular"):
            target, other = ("size", "class") if name == "tabular_regressor" else ("class", "size")
            overrides = [
                *overrides,
                "data=table",
                f"data.path='{table}'",
                f"data.target={target}",
                f"data.drop=[{other}]",
            ]
            overrides += ["data.val_fraction=0.4"]
        cfg = compose_config(*overrides, *FAST, f"name=export-{name}", "overwrite=true")
        train(cfg)
        return cfg

    return trained_once


@pytest.fixture
def exported(compose_config):
    """Return a function that exports as export.py would with these values."""

    def exported(*overrides):
        cfg = compose_config(*overrides, config_name="export")
        check_config(cfg)
        export(cfg)

    return exported


def raw_inputs(data):
    """The first 600 samples of validation as a file holds them, made without the project's own code where it is short."""
    if not hasattr(data, "columns"):
        images = data.splits["val"].tensors[0][:600]
        return {"images": np.round(images.numpy() * (255 / 16)).astype(np.uint8)}
    return dict(zip(("numbers", "codes"), (t.numpy() for t in data.raw_samples("val", 600)), strict=True))


@pytest.mark.parametrize(("name", "overrides"), MODELS)
def test_onnx_and_pt2_agree_with_the_model_alone_and_in_batches(
    trained, exported, compose_config, tmp_path, capsys, name, overrides
):
    cfg = trained(name, overrides)
    data = build(cfg.data)
    capsys.readouterr()
    exported(f"run={cfg.run_dir}")
    printed = capsys.readouterr().out
    exported(f"run={cfg.run_dir}", "format=pt2", f"output='{tmp_path}/model.pt2'")
    from my_project import load_run

    model, raw = load_run(cfg.run_dir).model, raw_inputs(data)
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.val_dataloader()]
    with torch.no_grad():
        expected = torch.cat([model(*inputs) for *inputs, _ in batches])[:600].numpy()
    session = onnxruntime.InferenceSession(f"{cfg.run_dir}/model.onnx")
    program = torch.export.load(f"{tmp_path}/model.pt2").module()
    assert [put.name for put in session.get_inputs()] == [*raw]
    for size in (1, 64, 600):
        for start in range(0, 600, size)[:20]:
            part = {key: value[start : start + size] for key, value in raw.items()}
            (onnx,) = session.run(None, part)
            pt2 = program(*map(torch.from_numpy, part.values())).detach().numpy()
            for found in (onnx, pt2):
                assert found.shape == expected[start : start + size].shape
                assert np.abs(found - expected[start : start + size]).max() < 1e-4
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == [*getattr(data, "class_names", ())]
    assert float(re.search(r"largest difference (\S+) on \d{3,4} samples", printed).group(1)) < 1e-4
    run_without_torch(cfg, printed, tmp_path)


def run_without_torch(cfg, printed, folder):
    """Run the lines that export.py printed, on an image of the right name, where torch cannot be imported."""
    lines = printed[printed.index("import json") :]
    assert len(lines.strip().splitlines()) <= 16
    Image.new("L", (20, 30), 90).save(folder / "image.png")
    finished = subprocess.run(
        [sys.executable, "-c", BLOCKED],
        input=lines.replace(cfg.run_dir, str(Path(cfg.run_dir).absolute())),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout.split()[-1]) < 100


def test_a_file_that_is_not_the_model_is_not_written(trained, exported, tmp_path, monkeypatch):
    cfg = trained("cnn", MANY)

    def other(self, *raw):
        return self.model(*self.inputs(*raw)) + 0.01

    monkeypatch.setattr("my_project.engine.export.WithPreprocessing.forward", other)
    for kind in ("onnx", "pt2"):
        with pytest.raises(TrainingError, match=r"largest difference .* above tolerance=0\.0001"):
            exported(f"run={cfg.run_dir}", f"format={kind}", f"output='{tmp_path}/model.{kind}'")
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_one_message(trained, exported, monkeypatch):
    cfg = trained("cnn", MANY)
    monkeypatch.setattr("my_project.engine.export.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ConfigError, match=r"format=onnx needs onnxscript: uv sync --extra export"):
        exported(f"run={cfg.run_dir}")


@pytest.mark.parametrize("tolerance", ["0", "-1"])
def test_a_tolerance_that_nothing_can_meet_is_refused(trained, compose_config, tolerance):
    run = f"run={trained('cnn', MANY).run_dir}"
    with pytest.raises(ConfigError, match="tolerance must be above 0, got"):
        check_config(compose_config(run, f"tolerance={tolerance}", config_name="export"))

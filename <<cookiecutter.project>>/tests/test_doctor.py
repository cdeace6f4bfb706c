"""The doctor finds nothing in the project as it comes, and names the rule that a wrong one breaks."""

import functools
import json

import pytest
import torch
from <<cookiecutter.package>>.engine.checks.finding import RULES
from <<cookiecutter.package>>.engine.checks.learning import check_learning
from <<cookiecutter.package>>.engine.checks.machine import check_build, installed_gpu
from <<cookiecutter.package>>.engine.checks.seed import check_seed

from <<cookiecutter.package>>.engine.build import build, build_model, find
from <<cookiecutter.package>>.engine.checks import learning, seed, short_fit, speed
from <<cookiecutter.package>>.engine.doctor.examine import examine
from <<cookiecutter.package>>.engine.errors import ConfigError


@pytest.fixture
def report(compose_config, tmp_path, monkeypatch):
    """Return a function that runs the doctor and returns its exit code and what doctor.json says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "NUM_ROUNDS", 2)
    for module, limit in ((learning, "SECONDS"), (seed, "SECONDS"), (short_fit, "FIT_SECONDS")):
        monkeypatch.setattr(module, limit, 100.0)  # a busy machine finds the same

    def examined(*overrides):
        code = 0
        try:
            examine(compose_config("trainer.accelerator=cpu", *overrides))
        except SystemExit as end:
            code = end.code
        return code, json.loads((tmp_path / "doctor.json").read_text(), parse_constant=pytest.fail)

    return examined


def test_the_project_as_it_comes_is_healthy_and_nothing_is_left_but_the_report(report, capsys, tmp_path):
    code, found = report()
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert found["status"] == "ok"
    assert found["rules"].keys() == RULES.keys()
    assert {entry["status"] for rule, entry in found["rules"].items() if rule != "build"} <= {"ok", "not applicable"}
    for rule, entry in found["rules"].items():
        assert any(line.startswith(f"{entry['status']:<16}{rule} ") for line in lines), rule
    assert all(found["speed"][name] > 0 for name in ("loader", "bare_loop", "trainer"))
    assert [path.name for path in tmp_path.iterdir()] == ["doctor.json"]


def test_a_model_that_does_not_look_at_its_inputs_is_found_and_what_is_intended_is_not(
    report, compose_config, monkeypatch, capsys
):
    model = find(compose_config("model=mlp").model._target_)
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda self, images: forward(self, images.clamp(2, 3)))
    code, found = report("model=mlp", "intended=[one_batch]")
    assert code == 1
    assert found["status"] == "wrong"
    assert found["rules"]["zero_inputs"]["status"] == "wrong"
    assert found["rules"]["one_batch"]["status"] == "ok"
    assert "remedy  follow the inputs" in capsys.readouterr().out


def test_augmented_images_are_learnt_by_heart_and_black_ones_are_not(compose_config, choose):
    values = ("name=learning", "model=mlp", "model.dropout=0", "trainer.accelerator=cpu", "optimizer.lr=1e-2")
    cfg = compose_config(*choose("data=cifar10"), *values, "data.augment.crop.padding=16")
    data = build(cfg.data)
    assert check_learning(cfg, data, build_model(cfg, data)) == {"one_batch": [], "zero_inputs": []}


def test_a_seed_in_the_code_and_a_tiny_learning_rate_are_found(compose_config, monkeypatch):
    values = ("name=learning", "model=mlp", "model.dropout=0", "trainer.accelerator=cpu", "optimizer=sgd")
    cfg = compose_config(*values, "optimizer.lr=1e-6", "data.seed=0")
    data = build(cfg.data)
    (finding,) = check_learning(cfg, data, build_model(cfg, data))["one_batch"]
    assert finding.where == "optimizer"
    model = find(cfg.model._target_)
    init = vars(model)["__init__"]

    @functools.wraps(init)
    def seeded(self, **arguments):
        torch.manual_seed(0)
        init(self, **arguments)

    monkeypatch.setattr(model, "__init__", seeded)
    (finding,) = check_seed(cfg)["seed"]
    assert finding.where == "seed"
    assert cfg.seed == 0


def test_a_wrong_value_is_one_message(compose_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for override, message in (("+trainer.max_epoch=5", "did you mean max_epochs"), ("checks=maybe", "checks must be")):
        with pytest.raises(ConfigError, match=message):
            examine(compose_config(override))
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_torch_is_not_built_for_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert installed_gpu(tmp_path) is None
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    (finding,) = check_build("auto", installed_gpu(tmp_path))
    assert "without CUDA" in finding.what
    assert not finding.warning
    assert not list(check_build("auto", None))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not list(check_build("auto", "NVIDIA"))


@pytest.mark.parametrize(
    ("loader", "bare_loop", "trainer", "expected"),
    [(1000, 900, 800, "data-bound"), (9000, 900, 500, "overhead-bound"), (9000, 900, 800, "compute-bound")],
)
def test_the_verdict_names_what_takes_the_time(loader, bare_loop, trainer, expected):
    assert (
        speed.judge({"loader": loader, "bare_loop": bare_loop, "trainer": trainer}, num_workers=0)["verdict"]
        == expected
    )

"""The doctor finds what only training or a pass over all data shows, and nothing wrong in a healthy project of any kind."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from projects.healthy import HEALTHY_PATIENTS
from projects.project import MANUAL, Project
from projects.wrong import SLOW, WRONG
from torch.utils.data import DataLoader, TensorDataset

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("doctor")]

PLAIN = ("test=false", "scheduler=none")
UNMONITORED = (*PLAIN, "callbacks.checkpoint.monitor=null")
UNUSUAL = [
    Project("unusual.GraphNetwork", data="unusual.Graphs", overrides=PLAIN, name="batches that are objects"),
    Project("unusual.SemiSupervised", data="unusual.Points", overrides=PLAIN, name="a dict of loaders"),
    Project("unusual.SemiSupervised", data="unusual.CombinedPoints", overrides=PLAIN, name="a CombinedLoader"),
    Project("unusual.Unvalidated", data="unusual.UnvalidatedPoints", overrides=UNMONITORED, name="no validation"),
    Project("healthy_manual.WassersteinGan", overrides=MANUAL),
    Project("healthy.Tokens", data="healthy.GreyValues"),
    Project("healthy_other.Regression", data="healthy.Brightness"),
]


def every(projects: list[Any]) -> list[Any]:
    return [pytest.param(project, id=project.id) for project in projects]


@pytest.fixture(scope="module")
def configure(compose_config: Callable[..., DictConfig]) -> Iterator[Callable[..., DictConfig]]:
    """Return a function that composes the config of a project; all share this process."""
    with pytest.MonkeyPatch.context() as patch:
        from my_project.engine.doctor import training

        patch.setattr(training, "SECONDS", 60.0)  # a busy machine finds the same

        def configured(project: Project, *overrides: str) -> DictConfig:
            os.environ.pop("MY_PROJECT_RUN_NAME", None)  # of the run before
            return compose_config(*project.command_line, *overrides)

        yield configured


@pytest.fixture
def examine(configure, tmp_path, monkeypatch):
    """Return a function that runs the doctor on a project, and returns what doctor.json says."""
    monkeypatch.chdir(tmp_path)

    def examined(project: Project, *overrides: str) -> dict[str, Any]:
        from my_project.engine.doctor.examine import examine

        threads = torch.get_num_threads()
        is_wrong = examine(configure(project, *overrides))
        report = json.loads((tmp_path / "doctor.json").read_text(), parse_constant=pytest.fail)
        assert report["status"] == ("wrong" if is_wrong else "ok")
        assert [path.name for path in tmp_path.iterdir()] == ["doctor.json"]
        assert torch.get_num_threads() == threads
        return report

    return examined


@pytest.mark.parametrize("project", every([project for project in WRONG if project.doctor]))
def test_the_doctor_finds_what_a_run_cannot(examine, project):
    found = [finding for finding in examine(project)["findings"] if finding["rule"] == project.rule]
    assert any(place in finding["where"] for finding in found for place in project.places), found


@pytest.mark.parametrize("project", every([*HEALTHY_PATIENTS, *UNUSUAL]))
def test_nothing_is_wrong_with_a_healthy_project_of_any_kind(examine, project):
    assert [finding for finding in examine(project)["findings"] if finding["rule"] != "speed"] == []


def test_the_project_as_it_comes_gets_a_line_for_each_rule(examine, capsys):
    from my_project.engine.checks.rules import RULES

    report = examine(Project(), "data=digits", "model=cnn")
    lines = capsys.readouterr().out.splitlines()
    assert report["rules"].keys() == RULES.keys()
    assert {rule["status"] for name, rule in report["rules"].items() if name != "build"} <= {"ok", "not applicable"}
    for name, rule in report["rules"].items():
        assert any(line.startswith(f"{rule['status']:<16}{name} ") for line in lines), name


def test_a_slow_loader_is_named(examine, monkeypatch):
    from my_project.engine.doctor import training

    monkeypatch.setattr(training, "SECONDS", 2.0)
    report = examine(SLOW)
    assert report["speed"]["verdict"] == "data-bound"
    assert report["speed"]["loader"] > report["speed"]["step"] > 0
    assert [(finding["where"], finding["verdict"]) for finding in report["findings"]] == [("data", "check")]


def test_one_thread_that_is_faster_is_named(configure, monkeypatch):
    from my_project.engine.doctor import passes

    monkeypatch.setattr(passes, "batch_ms", lambda cfg, data, threads: (2.0, 3.0) if threads == 1 else (9.0, 10.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    facts: dict[str, Any] = {}
    (finding,) = passes.check_speed(configure(Project()), served(train=range(320)), facts)
    assert finding.what == "one thread is faster than 4: a batch takes 3 ms, and 10 ms with all"
    assert facts["text"].endswith("threads: 4")


def test_what_is_meant_is_not_wrong(examine):
    (project,) = (project for project in WRONG if project.model == "teaching.SeededByTheClock")
    assert examine(project, "intended=[seed]")["status"] == "ok"


def test_a_wrong_value_is_one_message_and_leaves_nothing(configure, tmp_path, monkeypatch):
    from my_project.engine.doctor.examine import examine
    from my_project.engine.errors import ConfigError

    monkeypatch.chdir(tmp_path)
    for override, message in (
        ("+trainer.max_epoch=5", "did you mean max_epochs"),
        ("intended=[ordre]", "intended must"),
    ):
        with pytest.raises(ConfigError, match=message):
            examine(configure(Project(), override))
    assert not list(tmp_path.iterdir())


def test_a_bug_of_the_owner_keeps_its_traceback_and_what_was_found_before_is_said(configure, monkeypatch, capsys):
    from my_project.engine.doctor.examine import examine

    cfg = configure(Project("optimizer.HeadOnly"), "+trainer.num_sanity_val_steps=0")
    from my_project.models.small import Small

    def broken(self, batch, batch_idx):
        raise KeyError("labels")

    monkeypatch.setattr(Small, "validation_step", broken)
    with pytest.raises(KeyError, match="labels"):
        examine(cfg)
    assert "intended: [optimizer:features" in capsys.readouterr().out


def served(**splits: Any) -> Any:
    """Return a DataModule of numbers, or of whole datasets, by split."""
    from lightning import LightningDataModule

    def loader(values: Any) -> DataLoader:
        rows = values if hasattr(values, "__getitem__") and not isinstance(values, range) else None
        return DataLoader(rows or TensorDataset(torch.tensor(values)[:, None].repeat(1, 4)), batch_size=32)

    data = LightningDataModule()
    for split, values in splits.items():
        vars(data)[f"{split}_dataloader"] = lambda values=values: loader(values)
    return data


def test_samples_in_two_splits_are_named_by_row(configure):
    from my_project.engine.doctor.passes import check_splits

    assert not list(check_splits(served(train=range(100), val=range(100, 150), test=range(150, 200))))
    (finding,) = check_splits(served(train=range(100), val=range(95, 150)))
    assert (
        finding.what == "5 of 55 samples of val are in train too: train 95 = val 0, train 96 = val 1, train 97 = val 2"
    )


def test_a_gpu_that_torch_cannot_use_is_wrong_unless_it_may_be_meant(configure, tmp_path, monkeypatch):
    from my_project.engine.doctor import examine as doctor

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "GPU_FILES", {str(tmp_path / "nvidia0"): "NVIDIA"})
    assert not list(doctor.check_build("auto"))
    (tmp_path / "nvidia0").touch()
    (finding,) = doctor.check_build("auto")
    assert (finding.verdict, "NVIDIA" in finding.what) == (None, True)
    (finding,) = doctor.check_build("cpu")
    assert finding.verdict == "check"

"""Any LightningModule is at home: an owner adds it, makes it the default, and the project's own tests stay green."""

import json
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import TEMPLATE, Finished

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("any module")]

SOURCES = TEMPLATE / "tests" / "any_module"
SHORT = ["trainer.accelerator=cpu", "trainer.max_epochs=3", "+trainer.limit_train_batches=12"]


@dataclass
class Added:
    """What an owner adds to a project and then makes the default in train.yaml.

    Args:
        defaults: by group, the choice of `defaults`.
        values: at the top of the file.
        without: callbacks that are switched off.
        trainer: values of the trainer.
    """

    defaults: dict[str, str]
    values: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    trainer: dict[str, str] = field(default_factory=dict)


ADDED = {
    "regression": Added(
        {"model": "brightness", "data": "lamps", "loss": "mse", "metrics": "regression"}, {"monitor": "val/mae"}
    ),
    "segmentation": Added(
        {"model": "segmenter", "data": "masks", "loss": "pixel_cross_entropy", "metrics": "segmentation"},
        {"monitor": "val/iou", "mode": "max"},
    ),
    "gan": Added(
        {"model": "gan"},
        {"monitor": "null", "test": "false"},
        without=("early_stopping",),
        trainer={"gradient_clip_val": "null"},
    ),
    "records": Added({"model": "of_records", "data": "records"}, without=("checkpoint", "early_stopping")),
    "signals": Added({"model": "of_signals", "data": "signals"}),
    "best_metric": Added({"model": "best_accuracy"}, {"monitor": "val_acc", "mode": "max"}),
}
KILLED = ("gan", "best_metric")
EACH = pytest.mark.parametrize("name", ADDED)


def add(project: Path, name: str) -> None:
    """Copy the files of a model into a project, and edit its train.yaml."""
    shutil.copytree(SOURCES / name, project, dirs_exist_ok=True)
    shutil.copy(SOURCES / "kill_once.py", project / "my_project")
    path, added = project / "configs" / "train.yaml", ADDED[name]
    text = path.read_text()
    edits = {rf"^  - {group}: \w+": f"  - {group}: {choice}" for group, choice in added.defaults.items()}
    edits |= {rf"^{key}: \S+": f"{key}: {value}" for key, value in added.values.items()}
    edits |= {rf"^  {name}:.*\n(    .*\n)+": f"  {name}: null\n" for name in added.without}
    for old, new in edits.items():
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        assert count == 1, old
    if added.trainer:
        text += "\ntrainer:\n" + "".join(f"  {key}: {value}\n" for key, value in added.trainer.items())
    path.write_text(text)


def commands(name: str) -> dict[str, list[str]]:
    """Return the command lines of a project, by what they are for."""
    train = ["train.py", *SHORT]
    every = {"tests": ["pytest", "-q", "-p", "no:cacheprovider"], "run": [*train, "name=run"]}
    if name in KILLED:
        kill = "+callbacks.kill={_target_: my_project.kill_once.KillOnce, mark: killed}"
        again = [*train, kill, "name=killed"]
        every |= {"killed": again, "continued": again}
    return every


@pytest.fixture(scope="module")
def ended(project, run_scripts, tmp_path_factory) -> dict[str, tuple[Path, dict[str, Finished]]]:
    """Return, by name, a project and how its commands ended; two processes take the projects in turn."""
    folders = {name: tmp_path_factory.mktemp(name) / "my-project" for name in ADDED}
    for name, folder in folders.items():
        shutil.copytree(project, folder)
        add(folder, name)

    def run(names: list[str]) -> list[Finished]:
        return run_scripts(
            project,
            *([f"{folders[name]}/{script}", *rest] for name in names for script, *rest in commands(name).values()),
        )

    halves = [list(ADDED)[::2], list(ADDED)[1::2]]
    with ThreadPoolExecutor() as pool:
        results = {
            name: half for names, half in zip(halves, map(iter, pool.map(run, halves)), strict=True) for name in names
        }
    return {
        name: (folders[name], {what: next(results[name]) for what in commands(name)})
        for half in halves
        for name in half
    }


def assert_ended_well(project: Path, run: str, finished: Finished) -> None:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "wrong: " not in finished.stderr
    assert "check: " not in finished.stderr
    assert json.loads((project / "runs" / run / "summary.json").read_text())["status"] == "finished"


@EACH
def test_the_projects_own_tests_stay_green(ended, name):
    _, results = ended[name]
    assert results["tests"].returncode == 0, results["tests"].stdout + results["tests"].stderr
    assert " passed" in results["tests"].stdout


@EACH
def test_a_run_ends_well_and_the_checks_say_nothing(ended, name):
    project, results = ended[name]
    assert_ended_well(project, "run", results["run"])


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_run_continues_with_the_same_command(ended, name):
    project, results = ended[name]
    assert results["killed"].returncode == -signal.SIGKILL, results["killed"].stderr
    assert_ended_well(project, "killed", results["continued"])
    assert "continues runs/killed from last.ckpt" in results["continued"].stdout
    killed, alone = ((project / "runs" / run / "metrics.csv").read_text() for run in ("killed", "run"))
    assert killed == alone

"""The generated project installs, its own tests pass on both versions of Hydra, and the README's commands work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import TEMPLATE, capture, generate, with_hydra

pytestmark = pytest.mark.slow
UV = [sys.executable, "-m", "uv"]

# What the commands of the project's README name: images, table.csv, CIFAR-10 and weights.
FILES = """
import sys
from pathlib import Path

import timm
import torch

sys.path.append("tests")
import tiny_image_folder, tiny_official_images, tiny_table

Path("data_files").mkdir()
tiny_image_folder.write("data=image_folder", Path())
tiny_table.write("data=table", Path())
tiny_official_images.write("data=cifar10", Path("data_files"))
torch.save(timm.create_model("resnet18").state_dict(), "resnet18.pth")
"""


QUICK = ["tests/test_configs.py", "tests/test_train.py"]
WRONG_VALUES = {
    "images": ("data.num_workers=-1", "data.num_workers must be at least 0, got -1\n"),
    "table": ("data.batch_size=0", "data.batch_size must be at least 1, got 0\n"),
}


@pytest.mark.parametrize(
    ("hydra", "warning", "tests"),
    [
        ("1.3.8", "hydra.errors.Hydra14MigrationWarning", ["tests"]),
        ("1.4.0rc3", "hydra.errors.Hydra15MigrationWarning", QUICK),
    ],
)
@pytest.mark.parametrize("data", ["images", "table"])
def test_the_projects_own_tests_pass_with_hydras_warnings_as_errors(tmp_path, data, hydra, warning, tests):
    project = generate(tmp_path, data=data)
    env = with_hydra(tmp_path, hydra)
    git = ["git", "-C", project, "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    tested = capture(project, "-m", "pytest", "-q", "-W", f"error::{warning}", *tests, env=env)
    assert tested.returncode == 0, tested.stdout
    # The scripts themselves, from composing to building, warn of nothing either.
    finished = capture(project, "train.py", "trainer=debug", env=env)
    assert (finished.returncode, finished.stderr) == (0, "")
    override, message = WRONG_VALUES[data]
    mistaken = capture(project, "train.py", override, env=env)
    assert (mistaken.returncode, mistaken.stdout, mistaken.stderr) == (1, "loading torch ...\n", message)


@pytest.mark.parametrize("data", ["images", "table"])
def test_the_projects_own_tests_pass_with_the_oldest_versions_it_allows(tmp_path, data):
    project = generate(tmp_path, data=data)
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    subprocess.run([*UV, "sync", "-q", "--resolution", "lowest-direct"], cwd=project, env=env, check=True)
    subprocess.run([project / ".venv" / "bin" / "python", "-m", "pytest", "-q"], cwd=project, env=env, check=True)


def test_the_pre_commit_hooks_run_and_accept_the_code(tmp_path):
    project = generate(tmp_path)
    for arguments in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(arguments, cwd=project, check=True)
    subprocess.run([*UV, "tool", "run", "pre-commit", "run", "--all-files"], cwd=project, check=True)


def test_the_readmes_of_both_languages_have_the_same_commands():
    def blocks(name):
        text = (TEMPLATE / name).read_text()
        return [re.sub(r"\s+#.*", "", block) for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]

    assert blocks("README.md") == blocks("README.es.md")


def test_the_run_command_of_the_readme_generates_and_trains(tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(TEMPLATE, clone, ignore=shutil.ignore_patterns(".git", ".venv", "my-project"))
    command = re.search(r"<!-- command: run -->\n```sh\n(.*)\n```", (clone / "README.md").read_text()).group(1)
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    env["PATH"] = f"{tmp_path}/python/bin:{env['PATH']}"
    subprocess.run(command, shell=True, cwd=clone, env=env, check=True)
    assert list(clone.glob("my-project/runs/*/summary.json"))


def test_the_project_installs_with_pip(tmp_path):
    project = generate(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-e", "."], cwd=project, check=True)
    subprocess.run([python, "-c", "import my_project"], cwd=tmp_path, check=True)


def test_the_readmes_recipes_work(tmp_path, run_scripts):
    """Every Python and YAML block of the project's README that names its file is written there, and then used."""
    project = generate(tmp_path, data="both")
    text = (project / "README.md").read_text()

    def block(before: str) -> str:
        return re.search(rf"{re.escape(before)}(.*?)```", text, re.DOTALL).group(1)

    configs = project / "configs"
    (project / "my_project" / "models" / "linear.py").write_text(block("`my_project/models/linear.py`:\n\n```python\n"))
    (configs / "model" / "linear.yaml").write_text(block("`configs/model/linear.yaml`:\n\n```yaml\n"))
    (configs / "optimizer" / "rmsprop.yaml").write_text(block("```yaml\n# configs/optimizer/rmsprop.yaml\n"))
    with (configs / "metrics" / "classification.yaml").open("a") as file:
        file.write(block("`metrics=none` leaves all out.\n\n```yaml\n"))
    written = capture(project, "-c", FILES)
    assert written.returncode == 0, written.stderr
    commands = [
        shlex.split(line.removeprefix("python "), comments=True)
        for line in re.findall(r"^python (?:train|evaluate|doctor|predict|export).*$", text, re.MULTILINE)
        if "gpu" not in line
    ]
    for command in (["train.py", "trainer=debug"], ["train.py", "experiment=penguin_mass"], ["doctor.py"]):
        assert command in commands
    short = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2"]
    first = [["train.py", "model=linear", "optimizer=rmsprop"], ["train.py", "name=baseline"]]
    commands = [
        command if command[0] != "train.py" or "trainer=debug" in command else [*command, *short]
        for command in first + commands
    ]
    for command, result in zip(commands, run_scripts(project, *commands), strict=True):
        assert result.returncode == 0, (command, result.stdout, result.stderr)
    summaries = [json.loads(path.read_text()) for path in project.glob("runs/*/summary.json")]
    assert all(summary["status"] == "finished" for summary in summaries)
    assert any("test/calibration_error" in summary["metrics"] for summary in summaries)
    assert any("test/r2" in summary["metrics"] for summary in summaries)

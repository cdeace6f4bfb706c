"""The generated project installs, its own tests pass on both versions of Hydra, and the README's commands work."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import TEMPLATE, capture, generate

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


@pytest.mark.parametrize(
    ("hydra", "warning", "tests"),
    [
        ("1.3.8", "hydra.errors.Hydra14MigrationWarning", ["tests"]),
        ("1.4.0rc3", "hydra.errors.Hydra15MigrationWarning", ["tests/test_configs.py", "tests/test_train.py"]),
    ],
)
def test_the_projects_own_tests_pass_with_hydras_warnings_as_errors(tmp_path, hydra, warning, tests):
    project = generate(tmp_path)
    library = tmp_path / "hydra"
    subprocess.run(
        [*UV, "pip", "install", "-q", "--prerelease", "allow", "--target", library, f"hydra-core=={hydra}"], check=True
    )
    env = {**os.environ, "PYTHONPATH": str(library)}
    version = subprocess.check_output([sys.executable, "-c", "import hydra; print(hydra.__version__)"], env=env)
    assert version.decode().strip() == hydra
    git = ["git", "-C", project, "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", f"error::{warning}", *tests], cwd=project, env=env, check=True
    )
    # The scripts themselves, from composing to building, warn of nothing either.
    finished = capture(project, "train.py", "trainer=debug", env=env)
    assert (finished.returncode, finished.stderr) == (0, "")
    mistaken = capture(project, "train.py", "data.val_fraction=10", env=env)
    assert (mistaken.returncode, mistaken.stderr) == (1, "data.val_fraction must be between 0 and 1, got 10\n")


def test_the_projects_own_tests_pass_with_the_oldest_versions_it_allows(tmp_path):
    project = generate(tmp_path)
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
    project = generate(tmp_path)
    text = (project / "README.md").read_text()
    model = re.search(r"`my_project/models/linear.py`:\n\n```python\n(.*?)```", text, re.DOTALL).group(1)
    (project / "my_project" / "models" / "linear.py").write_text(model)
    model_config = re.search(r"`configs/model/linear.yaml`:\n\n```yaml\n(.*?)```", text, re.DOTALL).group(1)
    (project / "configs" / "model" / "linear.yaml").write_text(model_config)
    optimizer = re.search(r"```yaml\n# configs/optimizer/rmsprop.yaml\n(.*?)```", text, re.DOTALL).group(1)
    (project / "configs" / "optimizer" / "rmsprop.yaml").write_text(optimizer)
    metric = re.search(r"```yaml\nmetrics:\n(.*?)```", text, re.DOTALL).group(1)
    config = project / "configs" / "train.yaml"
    config.write_text(config.read_text().replace("metrics: #", f"metrics:\n{metric}#", 1))
    written = capture(project, "-c", FILES)
    assert written.returncode == 0, written.stderr
    commands = [
        shlex.split(line.replace("python ", ""), comments=True)
        for line in re.findall(r"^(?:python (?:train|evaluate|doctor).*)$", text, re.MULTILINE)
        if "gpu" not in line
    ]
    assert ["train.py", "trainer=debug"] in commands
    short = ["+trainer.limit_train_batches=2", "trainer.max_epochs=1", "logger=csv"]
    first = [["train.py", "model=linear", "optimizer=rmsprop", *short], ["train.py", "name=baseline", *short]]

    def shortened(command):
        own_length = command[0] != "train.py" or "trainer=debug" in command
        return command if own_length else [*command, "trainer.max_epochs=1", "+trainer.limit_train_batches=2"]

    commands = first + [shortened(command) for command in commands]
    for command, result in zip(commands, run_scripts(project, *commands), strict=True):
        assert result.returncode == 0, (command, result.stderr)
    assert "calibration_error" in "".join(path.read_text() for path in project.glob("runs/*/summary.json"))

"""Imports run downwards, and each guarantee is one entry and one file: without both the rest still runs."""

import ast
import re
import shutil
import sys

import pytest
from conftest import generate
from source_lines import package_of

ROOMS = {"survival", "checks", "doctor", "report"}
LIGHT = {"hydra", "omegaconf", *sys.stdlib_module_names}


def imports(path, *, whole=True):
    """Return the modules that a file imports: anywhere in it, or at its top only."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree) if whole else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rooms_in(modules):
    """Return the rooms of engine/ that some of the modules are in."""
    return {name.split(".")[2] for name in modules if name.startswith("my_project.engine.")} & ROOMS


def test_only_the_scripts_import_the_main_path(project):
    users = [path for path in package_of(project).rglob("*.py") if "my_project.engine.run" in imports(path)]
    assert users == []
    assert "my_project.engine.run" in imports(project / "train.py")


def test_what_all_rooms_use_imports_none_of_them(project):
    engine = package_of(project) / "engine"
    for name in ("build", "targets", "errors", "command_line", "hydra_version", "redact"):
        assert rooms_in(imports(engine / f"{name}.py")) == set(), name


@pytest.mark.parametrize(
    ("room", "below"),
    [("survival", set()), ("checks", {"survival"}), ("report", {"survival"}), ("doctor", ROOMS - {"report"})],
)
def test_a_room_imports_only_those_below_it(project, room, below):
    for path in (package_of(project) / "engine" / room).glob("*.py"):
        assert rooms_in(imports(path)) <= {room, *below}, path


def test_models_and_data_do_without_checks_doctor_and_report(project):
    for folder in ("models", "data"):
        for path in (package_of(project) / folder).rglob("*.py"):
            assert not rooms_in(imports(path)) & {"checks", "doctor", "report"}, path


def test_a_script_imports_nothing_heavy_before_its_config_is_known(project):
    waiting, seen = list(project.glob("*.py")), set()
    while waiting:
        path = waiting.pop()
        for name in imports(path, whole=False):
            part = project.joinpath(*name.split("."))
            if name.startswith("my_project"):
                waiting += [file for file in (part.with_suffix(".py"),) if file.is_file() and file not in seen]
                seen |= set(waiting)
            else:
                assert name.partition(".")[0] in LIGHT, (path, name)
    assert {path.name for path in seen} >= {"command_line.py", "hydra_version.py", "errors.py"}


def guarantees(project):
    """Return the rows of the README's table: the entry in the config and the path in engine/."""
    table = (project / "README.md").read_text().partition("| guarantee | entry | file |")[2].partition("\n\n")[0]
    return re.findall(r"\| `([\w.]+)` \| `([\w./]+)` \|", table)


def remove(project, entry, file):
    """Delete a guarantee as its owner would: the lines of its entry, and its file or folder."""
    group, name = entry.split(".")
    indent = "  " if group == "callbacks" else ""
    found = 0
    for path in [project / "configs" / "train.yaml"] if indent else (project / "configs" / group).glob("*.yaml"):
        text, count = re.subn(rf"(?m)^{indent}{name}:.*\n(?:{indent} +.*\n)*", "", path.read_text())
        path.write_text(text)
        found += count
    assert found, entry
    path = package_of(project) / "engine" / file
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
def test_without_any_one_of_the_guarantees_and_without_all_a_run_ends_well_and_is_scored_again(tmp_path, run_scripts):
    rows = guarantees(generate(tmp_path / "whole"))
    assert len(rows) >= 7
    removed = {entry: [(entry, file)] for entry, file in rows} | {"all": rows}
    commands = []
    for name, parts in removed.items():
        project = generate(tmp_path / name)
        for entry, file in parts:
            remove(project, entry, file)
        commands.append([f"{project}/train.py", "trainer.max_epochs=1", "+trainer.limit_train_batches=3", "name=run"])
        unsaved = "callbacks.checkpoint" in dict(parts)
        if not unsaved:
            commands.append([f"{project}/evaluate.py", "run=runs/run"])
    for (script, *_), result in zip(commands, run_scripts(tmp_path, *commands), strict=True):
        assert result.returncode == 0, (script, result.stderr)
        assert "test/accuracy" in result.stdout, script


@pytest.mark.slow
def test_without_the_checks_and_the_doctor_the_projects_own_tests_pass(tmp_path, run_scripts):
    project = generate(tmp_path)
    (row,) = [row for row in guarantees(project) if row[1] == "checks/"]
    remove(project, *row)
    shutil.rmtree(package_of(project) / "engine" / "doctor")
    (project / "doctor.py").unlink()
    (tests,) = run_scripts(project, ["pytest", "-q"])
    assert tests.returncode == 0, tests.stdout

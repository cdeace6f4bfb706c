"""Every answer gives a project without leftovers; a bad answer gives one message and nothing on disk."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import datetime

import pytest
from conftest import TEMPLATE, generate
from cookiecutter.exceptions import CookiecutterException

QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
LICENSES = {
    "MIT": "Permission is hereby granted, free of charge",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "Redistribution and use in source and binary forms",
    "proprietary": "All rights reserved.",
}


def files_of(project):
    skipped = {".git", "__pycache__", "runs", ".ruff_cache"}
    return [path for path in project.rglob("*") if path.is_file() and not skipped & set(path.parts)]


def test_every_question_is_explained():
    asked = {key for key in QUESTIONS if not key.startswith("_")}
    assert asked == {"project", "package", "description", "author", "license", "logger"}
    assert QUESTIONS["__prompts__"].keys() == asked


@pytest.mark.parametrize("license", QUESTIONS["license"])
@pytest.mark.parametrize("logger", QUESTIONS["logger"])
def test_every_answer_gives_a_clean_project(tmp_path, license, logger):
    project = generate(tmp_path, license=license, logger=logger, author="Ada Lovelace")
    for path in files_of(project):
        assert not re.search(r"<<|<%|<#|cookiecutter", path.read_text() + str(path.relative_to(project))), path
    text = (project / "LICENSE").read_text()
    assert LICENSES[license] in text
    assert "Ada Lovelace" in text
    assert str(datetime.now().year) in text
    assert f"  - logger: {logger}\n" in (project / "configs" / "train.yaml").read_text()
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["license"] in (license, f"LicenseRef-{license.title()}")
    assert (logger in metadata["dependencies"]) == (logger != "csv")
    subprocess.run([sys.executable, "-m", "ruff", "check", project], check=True)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--check", project], check=True)


@pytest.mark.parametrize("package", ["a", "p" * 40])
def test_ruff_and_pyright_accept_the_code_whatever_the_package_is_called(tmp_path, package):
    project = generate(tmp_path, package=package)
    subprocess.run([sys.executable, "-m", "ruff", "check", project], check=True)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--check", project], check=True)
    subprocess.run([sys.executable, "-m", "pyright", "--pythonpath", sys.executable], cwd=project, check=True)


def test_quotes_and_accents_survive(tmp_path):
    author, description = 'María "Coco" O\'Neill \\ Söhne', 'Says "hello" \\ in C:\\temp'
    project = generate(tmp_path, author=author, description=description)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["authors"] == [{"name": author}]
    assert metadata["description"] == description
    assert author in (project / "LICENSE").read_text()


BAD_NAMES = ["1abc", "a b", "a'b", 'a"b', '");print("', "a\nb", "../x", "-a", "a-", "ñ", "a" * 41]
UNUSABLE_NAMES = [
    "class",
    "match",
    "torch",
    "test",
    "tests",
    "lightning",
    "hydra",
    "hydra-core",
    "json",
    "train",
    "yaml",
]


@pytest.mark.parametrize(
    "answers",
    [{"project": name} for name in (*BAD_NAMES, *UNUSABLE_NAMES)]
    + [{"package": name} for name in (*BAD_NAMES, *UNUSABLE_NAMES, "", "Upper", "a-b")]
    + [{"author": ""}, {"author": "a\nb"}, {"description": " "}],
    ids=lambda answers: repr(answers),
)
def test_a_bad_answer_is_refused_in_one_line_and_leaves_nothing(tmp_path, capfd, answers):
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(CookiecutterException):
        generate(inside, **answers)
    assert list(tmp_path.rglob("*")) == [inside]
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert re.match(r"error: (project|package|author|description) must ", lines[0])


def test_an_empty_project_name_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(CookiecutterException):  # by cookiecutter itself, before any hook
        generate(tmp_path, project="")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", ["2.6.0", "newest"])
def test_it_generates_from_a_git_url_without_a_terminal(tmp_path, version):
    origin = tmp_path / "origin"
    shutil.copytree(TEMPLATE, origin, ignore=shutil.ignore_patterns(".git", ".venv", "my-project"))
    git = ["git", "-C", str(origin), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "template"]):
        subprocess.run([*git, *arguments], check=True)
    config = tmp_path / "cookiecutter.yaml"
    config.write_text(f"cookiecutters_dir: {tmp_path / 'clones'}\nreplay_dir: {tmp_path / 'replay'}\n")
    requirement = "cookiecutter" if version == "newest" else f"cookiecutter=={version}"
    tool = [sys.executable, "-m", "uv", "tool", "run", "--from", requirement, "cookiecutter", "--no-input"]
    subprocess.run(
        [*tool, "--config-file", config, "--output-dir", tmp_path, f"file://{origin}", "project=from-git"],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    assert (tmp_path / "from-git" / "from_git" / "engine" / "run.py").is_file()


def count_source_lines(source):
    """Count the lines that are not blank, a comment or a docstring."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [
        node.body[0] for node in ast.walk(ast.parse(source)) if isinstance(node, documented) and ast.get_docstring(node)
    ]
    left_out = {number for node in docstrings for number in range(node.lineno, node.end_lineno + 1)}
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(line.strip()) and line.strip()[0] != "#" and number not in left_out for number, line in lines)


def test_the_project_stays_small(project):
    python = [path for path in files_of(project) if path.suffix == ".py" and "tests" not in path.parts]
    looking = [path for path in python if {"checks", "doctor.py", "doctor_report.py"} & set(path.parts)]
    owned = [path for path in python if {"data", "models"} & set(path.parts)]
    lines = {path: count_source_lines(path.read_text()) for path in python}
    assert sum(lines[path] for path in python if path not in looking + owned) < 1250
    assert sum(lines[path] for path in owned) < 1550
    assert sum(lines[path] for path in looking) < 3650
    assert len([path for path in files_of(project) if path.suffix in (".yaml", ".yml")]) < 33
    assert len((project / "train.py").read_text().splitlines()) < 60
    assert max(len(path.read_text().splitlines()) for path in python) <= 200


def test_the_test_environment_has_what_the_project_depends_on(project):
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    environment = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    assert set(metadata["dependencies"]).union(*metadata["optional-dependencies"].values()) <= set(environment)

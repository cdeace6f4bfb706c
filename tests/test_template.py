"""Every answer gives a project without leftovers; a bad answer gives one message and nothing on disk."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import datetime

import pytest
from conftest import TEMPLATE, capture, generate
from cookiecutter.exceptions import CookiecutterException
from test_command_line import OFFLINE

QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
LICENSES = {
    "MIT": "Permission is hereby granted, free of charge",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "Redistribution and use in source and binary forms",
    "proprietary": "All rights reserved.",
}


DEPENDENCIES = {"hydra-core", "jinja2", "lightning", "numpy", "pygal", "torch", "torchmetrics"}
OF_IMAGES = {"images": {"pillow", "torchvision"}, "pretrained": {"timm"}}
TABLES = {"pandas", "pyarrow"}
EXPORT = {"export": {"onnx", "onnxruntime", "onnxscript"}}
EXTRAS = {"images": OF_IMAGES | EXPORT, "table": EXPORT, "both": OF_IMAGES | EXPORT | {"table": TABLES}}

# Words that say what an answer leaves out; `categories` and the like are in generic code.
LEFT_OUT = {
    "images": r"tabular|penguin|data=table|data\.tables|data/tables|tiny_table|\btable\.csv",
    "table": r"data=digits|handwritten|images\.digits|\bcnn\b|resnet|mnist|cifar|\btorchvision|\btimm\b|pillow|image_folder|"
    r"data\.images|data/images|data_files|model=mlp|mlp_sgd|models\.mlp|augment\.|tiny_(image|official)",
    "both": r"\Z\A",
}


def files_of(project):
    skipped = {".git", "__pycache__", "runs", ".ruff_cache"}
    return [path for path in project.rglob("*") if path.is_file() and not skipped & set(path.parts)]


def texts_of(project):
    """Return what is written in each file, its path first; compressed ones are left out."""
    return {
        path: f"{path.relative_to(project)}\n{path.read_text()}" for path in files_of(project) if path.suffix != ".gz"
    }


def test_every_question_is_explained():
    asked = {key for key in QUESTIONS if not key.startswith("_")}
    assert asked == {"project", "package", "description", "author", "license", "logger", "data"}
    assert QUESTIONS["__prompts__"].keys() == asked


@pytest.mark.parametrize("license", QUESTIONS["license"])
@pytest.mark.parametrize("logger", QUESTIONS["logger"])
def test_every_answer_gives_a_clean_project(tmp_path, license, logger):
    place = QUESTIONS["license"].index(license) + QUESTIONS["logger"].index(logger)
    data = QUESTIONS["data"][place % 3]  # with each license and with each logger
    project = generate(tmp_path, license=license, logger=logger, author="Ada Lovelace", data=data)
    for path, text in texts_of(project).items():
        assert not re.search(r"<<|<%|<#|cookiecutter", text), path
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


@pytest.mark.parametrize("data", QUESTIONS["data"])
def test_nothing_is_left_of_what_another_answer_would_bring(tmp_path, data):
    project = generate(tmp_path, data=data)
    for path, text in texts_of(project).items():
        found = re.search(LEFT_OUT[data], text, re.IGNORECASE)
        assert not found, f"{path}: {found.group()}"
        assert not re.search(r"\n\n\n\n", text), path
    assert not [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())]
    bundled = {"images": {"digits.csv.gz"}, "table": {"penguins.csv"}, "both": {"digits.csv.gz", "penguins.csv"}}
    assert {path.name for path in files_of(project) if ".csv" in path.suffixes} == bundled[data]
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert names(metadata["dependencies"]) == DEPENDENCIES | (TABLES if data == "table" else {"pillow"})
    extras = {name: names(listed) for name, listed in metadata.get("optional-dependencies", {}).items()}
    assert extras == EXTRAS[data]
    assert ("--all-extras" in (project / ".github" / "workflows" / "ci.yml").read_text()) == bool(extras)


def names(requirements):
    return {re.match(r"[\w-]+", requirement).group() for requirement in requirements}


@pytest.mark.slow
def test_the_default_run_of_a_table_needs_no_network_and_no_extra(tmp_path):
    project = generate(tmp_path, data="table")
    finished = capture(project, "-c", OFFLINE, "train.py", "name=penguins")
    assert finished.returncode == 0, finished.stderr
    metrics = json.loads((project / "runs" / "penguins" / "summary.json").read_text())["metrics"]
    assert metrics["test/accuracy"]["value"] > 0.95


@pytest.mark.slow
def test_the_bundled_samples_are_in_the_wheel(tmp_path):
    project = generate(tmp_path, data="both")
    subprocess.run([sys.executable, "-m", "uv", "build", "-q", "--wheel"], cwd=project, check=True)
    (wheel,) = (project / "dist").glob("*.whl")
    packaged = zipfile.ZipFile(wheel).namelist()
    assert {"my_project/data/images/digits.csv.gz", "my_project/data/tables/penguins.csv"} <= set(packaged)


@pytest.mark.parametrize(("package", "data"), [("a", "images"), ("p" * 40, "both"), ("my_project", "table")])
def test_ruff_and_pyright_accept_the_code_whatever_the_package_is_called(tmp_path, package, data):
    project = generate(tmp_path, package=package, data=data)
    subprocess.run([sys.executable, "-m", "ruff", "check", project], check=True)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--check", project], check=True)
    subprocess.run([sys.executable, "-m", "pyright", "--pythonpath", sys.executable], cwd=project, check=True)


TEXTS = [
    ('María "Coco" O\'Neill \\ Söhne', 'Says "hello" \\ in C:\\temp'),
    ("𠮷田 太郎", "Classify 🐱 and 🐶"),  # beyond the first 65 536 letters
    ("نور\u200cالدین", "हिन्दी, 👩\u200d🔬"),  # noqa: RUF001  with joiners
]


@pytest.mark.parametrize(("author", "description"), TEXTS)
def test_quotes_and_letters_of_every_script_survive(tmp_path, author, description):
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
    "torchvision",
    "timm",
    "pandas",
    "pyarrow",
    "pil",
    "matplotlib",
    "optuna",
    "onnx",
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


def test_the_test_environment_has_what_the_project_depends_on(tmp_path):
    project = generate(tmp_path, data="both")
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    environment = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    assert set(metadata["dependencies"]).union(*metadata["optional-dependencies"].values()) <= set(environment)

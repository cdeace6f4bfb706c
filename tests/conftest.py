"""Generate projects, and run their scripts as a user would."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from projects.project import add_sources

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers share two cores
TEMPLATE = Path(__file__).parent.parent


def generate(output_dir: Path, **answers: str) -> Path:
    """Generate a project from the working tree and return its folder."""
    return Path(cookiecutter(str(TEMPLATE), no_input=True, extra_context=answers, output_dir=str(output_dir)))


# The one project whose package the tests import: a process can import only one my_project. With images and tables, and
# with the models and data of projects/.
FOLDER = tempfile.mkdtemp(prefix="my-project-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
PROJECT = generate(Path(FOLDER), data="both")
add_sources(PROJECT)
sys.path += [str(PROJECT), str(PROJECT / "tests")]  # behind all else: it has a conftest.py and a tests/ too

# The fixtures of its own tests. Hydra keeps one folder of configs for a process: whoever composes, does it with these.
spec = spec_from_file_location("project_fixtures", PROJECT / "tests" / "conftest.py")
assert spec is not None
assert spec.loader is not None
project_fixtures = module_from_spec(spec)
spec.loader.exec_module(project_fixtures)
compose_config, choose = project_fixtures.compose_config, project_fixtures.choose
summary_of = project_fixtures.summary_of


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the default answers give."""
    return generate(tmp_path_factory.mktemp("generated"))


def capture(project: Path, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with a command line in a project and keep what it prints."""
    return subprocess.run([sys.executable, *command], cwd=project, env=env, capture_output=True, text=True, check=False)


def with_hydra(folder: Path, version: str) -> dict[str, str]:
    """Install a version of Hydra into a folder, and return an environment in which Python finds that one."""
    library = folder / f"hydra-{version}"
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--prerelease", "allow"]
    subprocess.run([*install, "--target", library, f"hydra-core=={version}"], check=True)
    env = {**os.environ, "PYTHONPATH": str(library)}
    found = subprocess.check_output(
        [sys.executable, "-c", "import hydra; print(hydra.__version__)"], env=env, text=True
    )
    assert found.strip() == version
    return env


@dataclass
class Finished:
    """How a command line ended."""

    returncode: int
    stdout: str
    stderr: str


# Imports lightning once, then runs each command line in a fork of itself: as good as a new process, 10 s cheaper.
# A script may be in another folder, where it is then run; the script `pytest` runs tests.
FORKING = """
import json, os, runpy, sys, traceback
import pytest
import lightning.pytorch.loggers, torchmetrics.classification
for number, (script, *arguments) in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(f"{sys.argv[1]}/{number}.out", os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(os.open(f"{sys.argv[1]}/{number}.err", os.O_CREAT | os.O_WRONLY), 2)
        folder, script = os.path.split(script)
        os.chdir(folder or ".")
        sys.argv, code = [script, *arguments], 0
        sys.path.insert(0, ".")
        try:
            if script == "pytest":
                sys.exit(int(pytest.main(arguments)))
            runpy.run_path(script, run_name="__main__")
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def run_scripts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Finished]]:
    """Return a function that runs command lines (script, *arguments) in a project, one after the other."""

    def run(project: Path, *commands: list[str], **env: str) -> list[Finished]:
        output = tmp_path_factory.mktemp("output")
        process = subprocess.run(
            [sys.executable, "-c", FORKING, str(output)],
            cwd=project,
            env=env or None,
            input=json.dumps(commands),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return [
            Finished(int(code), (output / f"{number}.out").read_text(), (output / f"{number}.err").read_text())
            for number, code in enumerate(process.stdout.split())
        ]

    return run

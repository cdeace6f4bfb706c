"""One project with images and tables, importable, and the fixtures of its own tests."""

import atexit
import shutil
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent.parent
FOLDER = tempfile.mkdtemp(prefix="machinery-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
PROJECT = Path(cookiecutter(str(TEMPLATE), no_input=True, extra_context={"data": "both"}, output_dir=FOLDER))
sys.path += [str(PROJECT), str(PROJECT / "tests")]  # behind all else: it has a conftest.py and a tests/ too

spec = spec_from_file_location("project_fixtures", PROJECT / "tests" / "conftest.py")
assert spec is not None
assert spec.loader is not None
project_fixtures = module_from_spec(spec)
spec.loader.exec_module(project_fixtures)
compose_config, choose = project_fixtures.compose_config, project_fixtures.choose
summary_of = project_fixtures.summary_of

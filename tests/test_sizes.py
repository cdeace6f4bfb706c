"""The guard is smaller than what it guards, and every room keeps to its budget; `python tests/source_lines.py` prints them."""

import pytest
from conftest import generate
from source_lines import (
    FILE,
    FILES,
    FUNCTION,
    PRIVATE_NAMES,
    SCRIPTS,
    functions,
    guard,
    private_names,
    rooms,
    source_lines,
)


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    return {data: generate(folder / data, data=data) for data in ("images", "table", "both")}


def test_every_room_keeps_to_its_budget_whatever_the_data(projects):
    assert [room for room in rooms(**projects) if room.lines > room.budget] == []


def test_the_guard_is_a_few_short_files_of_short_functions(projects):
    paths = guard(projects["both"])
    sources = {path.name: path.read_text() for path in paths}
    assert len(paths) <= FILES
    assert [path for path in paths if source_lines(path.read_text()) > FILE] == []
    long = [name for source in sources.values() for name, length in functions(source) if length > FUNCTION]
    assert long == []


def test_the_guard_leans_on_public_names(projects):
    found = {name for path in guard(projects["both"]) for name in private_names(path.read_text())}
    assert len(found) <= PRIVATE_NAMES, found


def test_a_script_is_read_at_a_glance(projects):
    scripts = list(projects["both"].glob("*.py"))
    names = {"train.py", "evaluate.py", "predict.py", "export.py", "doctor.py", "report.py"}
    assert {path.name for path in scripts} >= names
    assert [path for path in scripts if len(path.read_text().splitlines()) >= SCRIPTS] == []


def test_source_lines_are_those_that_are_not_blank_comment_or_docstring():
    assert (
        source_lines(
            '"""One.\n\nTwo."""\n\n# three\nx = 1  # four\n\n\ndef f():\n    """Five."""\n    return """\na\n"""\n'
        )
        == 5
    )


def test_private_names_are_found_wherever_they_are_written():
    source = (
        "import torch._dynamo.x\nfrom torch.nn import _reduction, Linear\nfrom mine import _y\n"
        "self._own\nmodel._hidden\nm.__init__\ncfg.model._target_\n"
    )
    assert list(private_names(source)) == ["torch._dynamo", "torch.nn._reduction", "model._hidden"]

"""Count the source lines of what the template generates, and hold them against their budgets.

python tests/source_lines.py                             # a table: what, lines, budget
"""

import ast
import io
import tempfile
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).parent.parent
NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
LIBRARIES = ("torch", "torchmetrics", "lightning", "lightning_utilities", "pytorch_lightning")
SCRIPTS = 60  # lines of a script at the root, all of them counted
FUNCTION = 40  # lines of a function in checks and doctor, all of them counted
FILE = 220  # source lines of a file in checks and doctor
FILES = 14  # of checks and doctor
PRIVATE_NAMES = 3  # of torch, torchmetrics and Lightning, in checks and doctor; each counts once


@dataclass
class Room:
    """A part of a generated project, its source lines, and how many it may have."""

    name: str
    lines: int
    budget: int


def source_lines(source: str) -> int:
    """Count the lines that are not blank, a comment or a docstring."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in NO_CODE]
    return len({number for token in tokens for number in range(token.start[0], token.end[0] + 1)} - docstrings)


def private_names(source: str) -> Iterator[str]:
    """Yield what begins with an underscore and is another's: an attribute of anything but self, a module or its names.

    `_target_` is a key of Hydra, and what lies in a private module is not counted apart from it.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield ast.unparse(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for alias in node.names:
                words = f"{module}.{alias.name}".strip(".").split(".")
                private = [place for place, word in enumerate(words) if is_private(word)]
                if words[0] in LIBRARIES and private:
                    yield ".".join(words[: private[0] + 1])


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("_")


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the length of each function, its decorators left out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


def python(*places: Path) -> list[Path]:
    """Return the Python files in some folders, and the files themselves."""
    return sorted(path for place in places for path in (place.rglob("*.py") if place.is_dir() else [place]))


def guard(project: Path) -> list[Path]:
    """Return the files of the checks and the doctor; one that only says what its folder holds is left out."""
    package = package_of(project)
    paths = python(package / "engine" / "checks", package / "engine" / "doctor")
    return [path for path in paths if source_lines(path.read_text())]


def package_of(project: Path) -> Path:
    (init,) = project.glob("*/__init__.py")
    return init.parent


def count(paths: list[Path]) -> int:
    return sum(source_lines(path.read_text()) for path in paths)


def rooms(images: Path, table: Path, both: Path) -> list[Room]:
    """Return the rooms of a project for each answer of `data`, with their budgets."""
    listed = []
    for answer, project in {"images": images, "table": table, "both": both}.items():
        package, guarding = package_of(project), guard(project)
        reporting = python(package / "engine" / "report", project / "report.py")
        engine = [path for path in python(package / "engine") if path not in [*guarding, *reporting]]
        owned = count(python(package / "data", package / "models"))
        allowed = 1370 if answer != "both" else listed[3].lines + 800  # what both has beyond images
        listed += [
            Room(f"{answer}: checks and doctor", count(guarding), 1500),
            Room(f"{answer}: report", count(reporting), 500),
            Room(f"{answer}: engine without them", count(engine), 2300),
            Room(f"{answer}: data and models", owned, allowed),
            Room(f"{answer}: tests", count(python(project / "tests")), 1100),
        ]
    return listed


def main() -> None:
    """Generate a project for each answer of `data` and print its rooms."""
    from conftest import generate

    with tempfile.TemporaryDirectory() as folder:
        projects = {data: generate(Path(folder, data), data=data) for data in ("images", "table", "both")}
        for room in rooms(**projects):
            print(f"{room.name:<32}{room.lines:>6}  of {room.budget:>5}{'  TOO MANY' * (room.lines > room.budget)}")
        names = {name for path in guard(projects["both"]) for name in private_names(path.read_text())}
        print(f"private names of libraries: {', '.join(sorted(names)) or 'none'}")


if __name__ == "__main__":
    main()

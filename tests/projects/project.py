"""A generated project with something changed in it."""

import ast
import shutil
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
HERE = "here"  # in `where`: a line of the class that ends with this comment

# Seconds, not minutes: two epochs of twelve batches.
SHORT = [
    "model=small",
    "data=plain",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "+trainer.limit_train_batches=12",
]
SHORT += ["callbacks.progress=null", "logger=none"]
MANUAL = ("scheduler=none", "trainer.gradient_clip_val=null")


@dataclass(frozen=True)
class Project:
    """A project that differs from the generated one in its model, its data or its config.

    Args:
        model: a class of models/, as `order.NeverCleared`.
        data: a class of data/.
        overrides: as on the command line.
        name: of the test; by default that of the class.
    """

    model: str = ""
    data: str = ""
    overrides: tuple[str, ...] = ()
    name: str = ""

    @property
    def id(self) -> str:
        return self.name or self.model or self.data

    @property
    def command_line(self) -> list[str]:
        model = [f"model._target_=my_project.models.{self.model}"] if self.model else []
        data = [f"data._target_=my_project.data.{self.data}"] if self.data else []
        return [*SHORT, *model, *data, *self.overrides]


@dataclass(frozen=True, kw_only=True)
class Wrong(Project):
    """A project that trains, and trains wrong.

    Args:
        rule: the rule that is broken, a key of RULES.
        where: a part of the place that the message should name; `HERE` stands for the marked lines of the class.
        says: a part of the message.
        check: the run goes on and the message is printed.
        doctor: only doctor.py looks for it.
    """

    rule: str
    where: str = ""
    says: str = ""
    check: bool = False
    doctor: bool = False

    @property
    def places(self) -> list[str]:
        """All that may stand in the message for `where`, one of which has to."""
        if self.where != HERE:
            return [self.where]
        kind, (module, name) = ("models", self.model.split(".")) if self.model else ("data", self.data.split("."))
        source = (SOURCES / kind / f"{module}.py").read_text()
        (node,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
        lines = enumerate(source.splitlines(), start=1)
        marked = [number for number, line in lines if line.endswith(f"# {HERE}")]
        return [f"{module}.py:{number}" for number in marked if node.lineno <= number <= (node.end_lineno or 0)]


def add_sources(project: Path) -> None:
    """Put models/ and data/ into a generated project, and configs for the model and the data that they change."""
    for kind in ("models", "data"):
        shutil.copytree(SOURCES / kind, project / "my_project" / kind, dirs_exist_ok=True)
    (project / "configs" / "model" / "small.yaml").write_text("_target_: my_project.models.small.Small\n")
    data = "_target_: my_project.data.plain.PlainDigits\nbatch_size: 32\nnum_workers: 0\nseed: ${seed}\n"
    (project / "configs" / "data" / "plain.yaml").write_text(data)

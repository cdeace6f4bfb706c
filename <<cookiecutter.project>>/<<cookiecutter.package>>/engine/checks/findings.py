"""A broken rule, its place in the owner's code, and what is done about it: stop, say it, or keep it for the doctor."""

import ast
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from <<cookiecutter.package>>.engine.checks.rules import RULES
from <<cookiecutter.package>>.engine.errors import ConfigError, RuleBroken

# What is not the owner's code.
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
ENGINE = str(Path(__file__).parent.parent)


@dataclass(frozen=True)
class Finding:
    """A broken rule.

    Args:
        rule: a key of RULES.
        where: path of a module or parameter, split, key of the config, or class and method; a file and line may follow
            in brackets, as in `Net.training_step (net.py:12)`.
        what: what is the case there.
        verdict: wrong or check; None, as for effect and remedy, is what RULES says.
        remedy: what to change.
        effect: what happens.
    """

    rule: str
    where: str
    what: str
    verdict: str | None = None
    remedy: str | None = None
    effect: str | None = None

    @property
    def name(self) -> str:
        """The place without its line, which moves with the next edit, in characters that no shell and no YAML minds."""
        return re.sub(r"[^\w.]+", "_", self.where.partition(" (")[0])

    def complete(self, *, may_stop: bool) -> "Finding":
        """Return the same with nothing left to RULES; where a run may not be stopped, it is to be checked."""
        row = RULES[self.rule]
        verdict = (self.verdict or row.verdict) if may_stop else "check"
        return replace(self, verdict=verdict, remedy=self.remedy or row.remedy, effect=self.effect or row.effect)

    def __str__(self) -> str:
        row, entry = RULES[self.rule], f"{self.rule}:{self.name}"
        return (
            f"{self.verdict}: {self.what}\n  rule    {row.title}\n  where   {self.where}\n"
            f"  effect  {self.effect}\n  remedy  {self.remedy}\n"
            f"  meant?  intended: [{entry}] in configs/train.yaml, or 'intended=[{entry}]' on the command line\n"
            f"  more    README.md#{row.section}"
        )


@dataclass
class Findings:
    """What to do with each finding.

    Args:
        answer: error raises RuleBroken for what is wrong and prints what is to be checked, warn prints both, keep does
            neither, skip looks at nothing.
        intended: `rule` or `rule:where` of what is meant to be so; `where` may be the beginning of a path.
        may_stop: False, for a run that continues and for an evaluation alone, makes each finding a check.
        found: all findings that are not intended, each once.
        looked: the rules that applied and were looked at.
        outcomes: what was found, as plain data.
    """

    answer: str = "error"
    intended: list[str] = field(default_factory=list)
    may_stop: bool = True
    found: list[Finding] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.intended, list):
            raise ConfigError(f"intended must be a list, as intended=[order], got {self.intended!r}")
        if unknown := [entry for entry in self.intended if str(entry).partition(":")[0] not in RULES]:
            raise ConfigError(f"intended must hold rule or rule:where, got {unknown[0]!r}. Rules: {', '.join(RULES)}")

    def report(self, findings: Iterable[Finding], *looked: str) -> None:
        """Raise, print or keep those findings that are not intended and not reported yet.

        Args:
            findings: what was found.
            looked: the rules that were looked at, beside those found broken.

        Raises:
            RuleBroken: something is wrong, and the answer is error.
        """
        self.looked.update(looked)
        wrong = []
        for finding in findings:
            finding = finding.complete(may_stop=self.may_stop)
            found = {(other.rule, other.name, other.verdict) for other in self.found}
            if (finding.rule, finding.name, finding.verdict) in found or self.is_intended(finding):
                continue
            self.found.append(finding)
            self.outcomes.append({key: vars(finding)[key] for key in ("rule", "where", "what", "verdict")})
            if finding.verdict == "wrong" and self.answer == "error":
                wrong.append(str(finding))
            elif self.answer != "keep" and rank_zero_only.rank == 0:
                print(f"\n{finding}", file=sys.stderr, flush=True)
        if wrong:
            raise RuleBroken("\n\n".join(wrong))

    def is_intended(self, finding: Finding) -> bool:
        entries = [entry.partition(":")[::2] for entry in map(str, self.intended)]
        names = [f"{name}." if name else "" for rule, name in entries if rule == finding.rule]
        return f"{finding.name}.".startswith(tuple(names))


def source_file(kind: type) -> str:
    """Return the file that a class is written in, or an empty string."""
    return getattr(sys.modules.get(kind.__module__), "__file__", None) or ""


def is_owners(filename: str) -> bool:
    return bool(filename) and not filename.startswith((*LIBRARIES, ENGINE, "<")) and "site-packages" not in filename


def place(qualname: str, filename: str, line: int) -> str:
    """Return `Class.method (file:line)`, the file relative to the working directory if it lies below it."""
    file = filename.removeprefix(os.path.join(os.getcwd(), ""))
    return f"{qualname.partition('.<locals>')[0]} ({file}:{line})"


def running() -> str:
    """Return the place of the innermost function of the owner's that is running, or an empty string."""
    for frame, line in traceback.walk_stack(None):
        code = frame.f_code
        if is_owners(code.co_filename):
            return place(code.co_qualname, code.co_filename, line)
        if code.co_filename.startswith(ENGINE) and not code.co_filename.startswith(str(Path(__file__).parent)):
            return ""
    return ""


def definition(module: Any, *methods: str) -> str:
    """Return the place of the first of these methods that the owner has written, or the name of the class."""
    for name in methods:
        code = getattr(inspect.unwrap(getattr(type(module), name, definition)), "__code__", None)
        if code and is_owners(code.co_filename):
            return place(code.co_qualname, code.co_filename, code.co_firstlineno)
    return type(module).__name__


def calls_of(model: nn.Module, method: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield place and call of each `x.method(...)` in the classes of the owner's that a model consists of."""
    kinds = dict.fromkeys(kind for m in model.modules() for kind in type(m).__mro__)
    for kind in [kind for kind in kinds if is_owners(source_file(kind))]:
        with suppress(OSError, TypeError, SyntaxError):  # a class that was made by a function has no source
            if f".{method}(" not in Path(source_file(kind)).read_text():
                continue
            lines, first = inspect.getsourcelines(kind)
            for function in ast.parse(dedent("".join(lines))).body[0].body:  # type: ignore[attr-defined]
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == method:
                        name = f"{kind.__qualname__}.{getattr(function, 'name', '')}"
                        yield place(name, source_file(kind), first + node.lineno - 1), node

"""What the doctor says: a line for each rule, and doctor.json."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

from <<cookiecutter.package>>.engine.checks.findings import Finding, Findings
from <<cookiecutter.package>>.engine.checks.rules import RULES
from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.survival.durable_file import replacing


class NotApplicable(Exception):
    """Why a rule says nothing about this project."""


@dataclass
class Report:
    """What was found, and what was not looked at.

    Args:
        findings: kept, not printed.
        reasons: why a rule is not applicable, by rule.
        speed: milliseconds for a batch, and the line that tells them.
    """

    findings: Findings
    reasons: dict[str, str] = field(default_factory=dict)
    speed: dict[str, Any] = field(default_factory=dict)

    def ask(self, rule: str, check: Callable[[], Iterable[Finding]]) -> None:
        """Run a check of the doctor's own; where what it tries is refused, its rule is not applicable and says why."""
        say(f"looking at {rule} ...")
        try:
            self.findings.report(check())
            self.findings.looked.add(rule)
        except Exception as error:  # noqa: BLE001  a project may refuse zeros, copies of a batch, a part of its data
            self.reasons[rule] = str(error).partition("\n")[0]

    def status(self, rule: str) -> str:
        """Return wrong, check, ok or not applicable."""
        if verdicts := {finding.verdict for finding in self.findings.found if finding.rule == rule}:
            return "wrong" if "wrong" in verdicts else "check"
        return "ok" if rule in self.findings.looked else "not applicable"

    def __str__(self) -> str:
        lines, status = [""], {name: self.status(name) for name in RULES}
        for name, rule in RULES.items():
            text = self.speed["text"] if self.speed and name == "speed" else rule.title
            text += f" ({self.reasons[name]})" if name in self.reasons else ""
            lines.append(f"{status[name]:<16}{name:<14}{text}")
            lines += [indent(str(finding), " " * 4) for finding in self.findings.found if finding.rule == name]
        count = list(status.values()).count
        lines.append(f"\n{count('wrong')} wrong, {count('check')} to check, {count('ok')} ok; doctor.json has it all")
        return "\n".join(lines)

    def write(self, path: Path) -> bool:
        """Write everything as JSON, and return whether something is wrong."""
        rules = {name: {"status": self.status(name), "reason": self.reasons.get(name)} for name in RULES}
        is_wrong = any(finding.verdict == "wrong" for finding in self.findings.found)
        report = {"status": "wrong" if is_wrong else "ok", "rules": rules, "findings": self.findings.outcomes}
        with replacing(path) as file:
            file.write((json.dumps(report | {"speed": self.speed}, indent=2) + "\n").encode())
        return is_wrong

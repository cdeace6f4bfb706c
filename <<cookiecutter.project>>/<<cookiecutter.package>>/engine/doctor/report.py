"""What the doctor says: a line for each rule, and doctor.json."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

from <<cookiecutter.package>>.engine.checks.findings import Finding, Findings
from <<cookiecutter.package>>.engine.checks.rules import RULES
from <<cookiecutter.package>>.engine.survival.durable_file import replacing


class NotApplicable(Exception):
    """Why a rule says nothing about this project."""


@dataclass
class Report:
    """What was found, and what was not looked at.

    Args:
        findings: kept, not printed.
        reasons: why a rule is not applicable, by rule.
        speed: milliseconds for a batch, and a verdict.
    """

    findings: Findings
    reasons: dict[str, str] = field(default_factory=dict)
    speed: dict[str, Any] = field(default_factory=dict)

    def ask(self, rule: str, check: Callable[[], Iterable[Finding]]) -> None:
        """Run a check of the doctor's own; one that this project does not bear is not applicable, and says why."""
        try:
            for finding in check():
                self.findings.report([finding])
            self.findings.looked.add(rule)
        except NotApplicable as reason:
            self.reasons[rule] = str(reason)
        except Exception as error:  # a step that is tried alone, or on other inputs, may rightly refuse
            self.reasons[rule] = f"{type(error).__name__}: {error}".partition("\n")[0]

    def found(self, rule: str) -> list[Finding]:
        return [finding for finding in self.findings.found if finding.rule == rule]

    def status(self, rule: str) -> str:
        """Return wrong, check, ok or not applicable."""
        verdicts = {finding.verdict for finding in self.found(rule)}
        otherwise = "ok" if rule in self.findings.looked else "not applicable"
        return next((verdict for verdict in ("wrong", "check") if verdict in verdicts), otherwise)

    @property
    def is_wrong(self) -> bool:
        return any(self.status(rule) == "wrong" for rule in RULES)

    def __str__(self) -> str:
        lines = [""]
        for name, rule in RULES.items():
            text = self.speed["text"] if self.speed and name == "speed" else rule.title
            reason = f" ({self.reasons[name]})" if name in self.reasons else ""
            lines.append(f"{self.status(name):<16}{name:<14}{text}{reason}")
            lines += [indent(str(finding), " " * 4) for finding in self.found(name)]
        count = [self.status(rule) for rule in RULES].count
        counts = f"{count('wrong')} wrong, {count('check')} to check, {count('ok')} ok"
        return "\n".join([*lines, "", f"{counts}; doctor.json has it all"])

    def write(self, path: Path, **facts: Any) -> None:
        """Write everything as JSON."""
        rules = {
            name: {
                "status": self.status(name),
                "title": rule.title,
                "reason": self.reasons.get(name),
                "findings": [asdict(finding) for finding in self.found(name)],
            }
            for name, rule in RULES.items()
        }
        everything = {"status": "wrong" if self.is_wrong else "ok", "rules": rules, "speed": self.speed, **facts}
        with replacing(path) as file:
            file.write((json.dumps(everything, indent=2) + "\n").encode())

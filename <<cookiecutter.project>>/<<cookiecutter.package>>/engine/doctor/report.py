"""What the doctor says: a line for each rule, and doctor.json."""

import json
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import Any

from <<cookiecutter.package>>.engine.checks.finding import RULES, Findings
from <<cookiecutter.package>>.engine.survival.durable_file import replacing


def status_of(rule: str, findings: Findings) -> str:
    found = [finding for finding in findings.found if finding.rule == rule]
    if found:
        return "check" if all(finding.warning for finding in found) else "wrong"
    return "ok" if rule in findings.looked else "not applicable"


def table(findings: Findings, speed: dict[str, Any] | None) -> str:
    """Return a line for each rule, and below it what was found."""
    lines = []
    for rule, (title, _) in RULES.items():
        text = speed["text"] if speed and rule == "speed" else title
        lines.append(f"{status_of(rule, findings):<16}{rule:<14}{text}")
        lines += [indent(str(finding), " " * 4) for finding in findings.found if finding.rule == rule]
    count = [status_of(rule, findings) for rule in RULES].count
    lines.append(f"\n{count('wrong')} wrong, {count('check')} to check, {count('ok')} ok; doctor.json has it all")
    return "\n" + "\n".join(lines)


def write_report(path: Path, findings: Findings, facts: dict[str, Any]) -> None:
    """Write everything as JSON."""
    rules = {
        rule: {
            "status": status_of(rule, findings),
            "title": title,
            "findings": [asdict(finding) for finding in findings.found if finding.rule == rule],
        }
        for rule, (title, _) in RULES.items()
    }
    wrong = any(rule["status"] == "wrong" for rule in rules.values())
    with replacing(path) as file:
        file.write(
            (json.dumps({"status": "wrong" if wrong else "ok", "rules": rules, **facts}, indent=2) + "\n").encode()
        )

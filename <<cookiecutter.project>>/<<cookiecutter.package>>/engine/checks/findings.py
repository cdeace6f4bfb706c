"""A broken rule, and what is done about it: stop, say it, or keep it for the doctor."""

import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

from lightning.pytorch.utilities import rank_zero_only

from <<cookiecutter.package>>.engine.checks.rules import RULES
from <<cookiecutter.package>>.engine.errors import ConfigError, RuleBroken

ANSWERS = ("error", "warn", "skip")


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
        row = RULES[self.rule]
        entry = f"{self.rule}:{self.name}"
        return (
            f"{self.verdict or row.verdict}: {self.what}\n"
            f"  rule    {row.title}\n"
            f"  where   {self.where}\n"
            f"  effect  {self.effect or row.effect}\n"
            f"  remedy  {self.remedy or row.remedy}\n"
            f"  meant?  intended: [{entry}] in configs/train.yaml, or 'intended=[{entry}]' on the command line\n"
            f"  more    README.md#{row.section}"
        )


@dataclass
class Findings:
    """What to do with each finding.

    Args:
        answer: error raises RuleBroken for what is wrong and prints what is to be checked, warn prints both, skip looks
            at nothing.
        intended: `rule` or `rule:where` of what is meant to be so; `where` may be the beginning of a path.
        keep: neither raise nor print.
        may_stop: False, for a run that continues and for an evaluation alone, makes each finding a check.
        found: all findings that are not intended, each once.
        looked: the rules that applied and were looked at.
    """

    answer: str = "error"
    intended: list[str] = field(default_factory=list)
    keep: bool = False
    may_stop: bool = True
    found: list[Finding] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise ConfigError(f"checks must be one of {', '.join(ANSWERS)}, got {self.answer!r}")
        if not isinstance(self.intended, list):
            raise ConfigError(f"intended must be a list, as intended=[order], got {self.intended!r}")
        for entry in self.intended:
            if str(entry).partition(":")[0] not in RULES:
                rules = ", ".join(RULES)
                raise ConfigError(f"intended must name rules, as rule or rule:where, got {entry!r}. Rules: {rules}")

    def report(self, findings: Iterable[Finding], *looked: str) -> None:
        """Raise, print or keep those findings that are not intended and not reported yet.

        Args:
            findings: what was found.
            looked: the rules that were looked at, beside those found broken.

        Raises:
            RuleBroken: something is wrong, and the answer is error.
        """
        new: list[Finding] = []
        for finding in findings:
            finding = finding.complete(may_stop=self.may_stop)
            seen = {(f.rule, f.name) for f in (*self.found, *new)}
            if (finding.rule, finding.name) not in seen and not self.is_intended(finding):
                new.append(finding)
        self.found += new
        self.looked |= {*looked, *(finding.rule for finding in new)}
        if self.keep:
            return
        wrong = [finding for finding in new if finding.verdict == "wrong" and self.answer == "error"]
        for finding in new:
            if finding not in wrong and rank_zero_only.rank == 0:
                print(f"\n{finding}", file=sys.stderr, flush=True)
        if wrong:
            raise RuleBroken("\n\n".join(map(str, wrong)))

    def is_intended(self, finding: Finding) -> bool:
        for entry in map(str, self.intended):
            rule, _, name = entry.partition(":")
            if rule == finding.rule and f"{finding.name}.".startswith(name and f"{name}."):
                return True
        return False

    @property
    def outcomes(self) -> list[dict[str, str]]:
        """Plain data for summary.json and doctor.json."""
        names = ("rule", "where", "what", "verdict")
        return [{name: asdict(finding)[name] for name in names} for finding in self.found]

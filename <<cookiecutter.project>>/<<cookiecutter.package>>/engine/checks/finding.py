"""A rule of training that was found broken, and what is done about it."""

import inspect
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from <<cookiecutter.package>>.engine.errors import ConfigError, RuleBroken

ANSWERS = ("error", "warn", "skip")

# What is not the owner's code.
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
CHECKS = str(Path(__file__).parent)
ENGINE = str(Path(__file__).parent.parent)

# The rules by the names that `intended` takes, each with the section of README.md that explains it.
RULES = {
    "registered": ("every module and parameter is registered", "the-model"),
    "called": ("a module is called as model(x), never as model.forward(x)", "the-model"),
    "optimizer": ("every trainable parameter is in exactly one optimizer group", "the-model"),
    "train_mode": ("modules train in train mode, frozen normalisation stays in eval mode", "the-model"),
    "num_classes": ("the model gives one logit for each class", "the-model"),
    "independent": ("sample i of a batch influences output i alone", "the-model"),
    "logits": ("a loss that applies softmax takes logits", "the-model"),
    "order": ("each step is zero_grad, backward, step, in that order", "the-loop"),
    "loss": ("the loss is one finite number with a gradient", "the-loop"),
    "gradients": ("every trainable parameter receives a finite gradient", "the-loop"),
    "weights": ("weights change when the optimizer steps", "the-loop"),
    "first_loss": ("the first loss is near ln(num_classes)", "the-loop"),
    "schedule": ("the scheduler steps as often as it was built for", "the-loop"),
    "clipping": ("gradients are clipped unscaled, after backward and before step", "the-loop"),
    "labels": ("labels are integers in [0, num_classes), and training sees each class", "the-data"),
    "inputs": ("inputs are floating, finite and on a sane scale", "the-data"),
    "splits": ("no sample is in two splits", "the-data"),
    "shuffling": ("training data is shuffled anew each epoch, evaluation data never", "the-data"),
    "augmentation": ("augmentation is random in training and absent from evaluation", "the-data"),
    "eval_mode": ("evaluation runs in eval mode and without gradients", "the-evaluation"),
    "unchanged": ("evaluation changes no parameter and no buffer", "the-evaluation"),
    "metrics": ("a metric counts each sample of the split once", "the-evaluation"),
    "stages": ("each stage has metrics of its own, and the sanity check leaves nothing behind", "the-evaluation"),
    "best": ("the checkpoint called best scores what its record says", "the-evaluation"),
    "one_batch": ("one batch can be learnt by heart", "the-doctor"),
    "zero_inputs": ("real inputs teach more than zeros", "the-doctor"),
    "seed": ("the same seed gives the same losses, another seed does not", "the-doctor"),
    "build": ("torch is built for this machine", "the-doctor"),
    "speed": ("the network is what takes the time", "the-doctor"),
}


@dataclass(frozen=True)
class Finding:
    """A broken rule.

    Args:
        rule: a key of RULES.
        where: path of a module or parameter, `file:line`, or a key of the config.
        what: what is the case there.
        effect: what would have happened.
        remedy: what to change.
        warning: it may well be right: it is said, and the run goes on.
    """

    rule: str
    where: str
    what: str
    effect: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        title, section = RULES[self.rule]
        return (
            f"{'check' if self.warning else 'wrong'}: {self.what}\n"
            f"  rule    {title}\n"
            f"  where   {self.where}\n"
            f"  effect  {self.effect}\n"
            f"  remedy  {self.remedy}\n"
            f"  meant?  add {self.rule}:{self.where} to the list `intended` in configs/train.yaml\n"
            f"  more    README.md#{section}"
        )


@dataclass
class Findings:
    """What to do with each finding: raise, print, or keep it for the doctor.

    Args:
        answer: error raises RuleBroken for all that a check has found, warn prints it, skip looks at nothing.
        intended: `rule` or `rule:where` of what is meant to be so; `where` may be the beginning of a path.
        keep: only gather findings in `found`.
        looked: the rules that applied and were looked at.
    """

    answer: str = "error"
    intended: list[str] = field(default_factory=list)
    keep: bool = False
    found: list[Finding] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise ConfigError(f"checks must be one of {', '.join(ANSWERS)}, got {self.answer!r}")
        if not isinstance(self.intended, list):
            raise ConfigError(f"intended must be a list, as intended=[order], got {self.intended!r}")
        for entry in self.intended:
            if str(entry).partition(":")[0] not in RULES:
                raise ConfigError(
                    f"intended must name rules, as rule or rule:where, got {entry!r}. Rules: {', '.join(RULES)}"
                )

    def report(self, findings: Iterable[Finding], *looked: str) -> None:
        """Raise, print or keep those findings that are not intended and not reported yet.

        Args:
            findings: what a check has found.
            looked: the rules it looked at, if any applied beside those found broken.

        Raises:
            RuleBroken: the answer is error, and one of them is more than a warning.
        """
        new = [f for f in dict.fromkeys(findings) if f not in self.found and not self.is_intended(f)]
        self.found += new
        self.looked |= {*looked, *(finding.rule for finding in new)}
        if self.keep:
            return
        errors = [finding for finding in new if not finding.warning and self.answer == "error"]
        for finding in new:
            if finding not in errors and rank_zero_only.rank == 0:
                print(f"\n{finding}", file=sys.stderr, flush=True)
        if errors:
            raise RuleBroken("\n\n".join(map(str, errors)))

    def is_intended(self, finding: Finding) -> bool:
        for entry in map(str, self.intended):
            rule, _, where = entry.partition(":")
            if rule == finding.rule and f"{finding.where}.".startswith((where and f"{where}.", f"{where}:")):
                return True
        return False


def owner_frame(frame: FrameType | None) -> FrameType | None:
    """Return the nearest frame, outwards, of the code that a project's owner wrote; None if the engine comes first."""
    while frame is not None and not is_owners(frame.f_code.co_filename):
        if frame.f_code.co_filename.startswith(ENGINE) and not frame.f_code.co_filename.startswith(CHECKS):
            return None
        frame = frame.f_back
    return frame


def is_owners(filename: str) -> bool:
    return not filename.startswith((*LIBRARIES, ENGINE, "<")) and "site-packages" not in filename


def place(frame: FrameType | None) -> str:
    """Return `file:line` of a frame, or an empty string."""
    return f"{short(frame.f_code.co_filename)}:{frame.f_lineno}" if frame else ""


def definition(module: Any, *methods: str) -> str:
    """Return `file:line` of the first of these methods that the owner of a model has written, or its class."""
    for name in methods:
        code = getattr(inspect.unwrap(inspect.getattr_static(type(module), name, definition)), "__code__", None)
        if code and is_owners(code.co_filename):
            return f"{short(code.co_filename)}:{code.co_firstlineno}"
    return type(module).__name__


def short(filename: str) -> str:
    """Return a path relative to the working directory, if it lies below it."""
    return filename.removeprefix(os.path.join(os.getcwd(), ""))

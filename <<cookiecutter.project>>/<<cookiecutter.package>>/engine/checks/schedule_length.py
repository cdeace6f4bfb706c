"""How many steps a scheduler was built for, against how many a run makes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch.optim import lr_scheduler

from .lr_curve import VANISHED, has_vanished, is_whole, lr_curve

USED = 0.9  # of a schedule, at least
TRIAL = 4  # optimizer steps: a run this short only tries whether the code works
OTHER = {"step": "epoch", "epoch": "step"}

Problem = tuple[str, str, str]  # what, effect, remedy

# The attribute that holds the length of a scheduler, in most cases named as its argument.
LENGTHS = {
    lr_scheduler.OneCycleLR: "total_steps",
    lr_scheduler.CosineAnnealingLR: "T_max",
    lr_scheduler.LinearLR: "total_iters",
    lr_scheduler.ConstantLR: "total_iters",
    lr_scheduler.PolynomialLR: "total_iters",
    lr_scheduler.MultiStepLR: "milestones",
    lr_scheduler.StepLR: "step_size",
    lr_scheduler.CosineAnnealingWarmRestarts: "T_0",
    lr_scheduler.CyclicLR: "total_size",
}


@dataclass(frozen=True)
class Pace:
    """How often a scheduler is stepped in a whole run.

    Args:
        interval: step or epoch.
        steps: scheduler steps in the run.
        other: scheduler steps in the run, were it stepped at the other interval; 0 when unknown.
    """

    interval: str
    steps: int
    other: int

    def between(self, start: float, end: float) -> "Pace":
        steps, other = (int(max(0, min(steps, end) - start)) for steps in (self.steps, self.other))
        return Pace(self.interval, steps, other)

    def __str__(self) -> str:
        stepped = "optimizer step" if self.interval == "step" else "epoch"
        return f"{count(self.steps)} in this run, one per {stepped}"


def mismatch(scheduler: Any, pace: Pace) -> Problem | None:
    """Return what is wrong with the first part of a scheduler that was built for another number of steps."""
    for part, part_pace in parts(scheduler, pace):
        for problem in (too_long, too_short, wrong_curve):
            found = problem(part, part_pace)
            if found is not None:
                return found
    return None


def parts(scheduler: Any, pace: Pace) -> Iterator[tuple[Any, Pace]]:
    """Yield the schedulers that a scheduler is made of, each with its own share of the steps."""
    if isinstance(scheduler, lr_scheduler.SequentialLR):
        bounds = pairwise([0, *scheduler._milestones, float("inf")])
        for part, (start, end) in zip(scheduler._schedulers, bounds, strict=True):
            yield from parts(part, pace.between(start, end))
    elif isinstance(scheduler, lr_scheduler.ChainedScheduler):
        for part in scheduler._schedulers:
            yield from parts(part, pace)
    else:
        yield scheduler, pace


def length(scheduler: Any) -> tuple[str, int]:
    """Return the name of the argument that gives the length of a scheduler, and the length, 0 when it has none."""
    for kind, name in LENGTHS.items():
        if isinstance(scheduler, kind) and getattr(scheduler, "factor", None) != 1:  # ConstantLR(factor=1) does nothing
            value = getattr(scheduler, name)
            return name, int(max(value, default=0) if name == "milestones" else value)
    return "", 0


def too_long(scheduler: Any, pace: Pace) -> Problem | None:
    """Find a scheduler that will not come to its end."""
    name, steps = length(scheduler)
    meant_for_other = steps >= 2 and 0.9 <= pace.other / steps <= 1.1
    once = isinstance(scheduler, lr_scheduler.OneCycleLR | lr_scheduler.CosineAnnealingLR)  # over the whole run
    if pace.steps >= USED * steps or (max(pace.steps, pace.other) <= TRIAL and not meant_for_other):
        return None
    return (
        f"{describe(scheduler, steps)}, and it makes {pace}: {pace.steps / steps:.0%} of its schedule",
        "the learning rate would not come to the end of its schedule",
        remedy(pace, name, fits_other=USED * steps <= pace.other and (not once or pace.other <= 1.5 * steps)),
    )


def too_short(scheduler: Any, pace: Pace) -> Problem | None:
    """Find a scheduler that comes to its end long before the run does, and then does harm."""
    name, steps = length(scheduler)
    if steps == 0 or pace.steps <= steps:
        return None
    in_epochs = pace.interval == "step" and steps <= pace.other  # the length would do as a number of epochs
    per_epoch = pace.steps / max(pace.other, 1)
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        effect = "the scheduler would raise a ValueError at the step after its last"
    elif isinstance(scheduler, lr_scheduler.CosineAnnealingLR) and pace.steps > 1.1 * steps + 1:
        effect = "the learning rate would rise again after the half cosine, as high as it was at the start"
    elif is_decay(scheduler) and in_epochs and steps < 0.1 * pace.steps:
        effect = f"the learning rate would be at its lowest after {steps / pace.steps:.1%} of the run"
    elif isinstance(scheduler, lr_scheduler.CosineAnnealingWarmRestarts) and in_epochs and steps < per_epoch:
        effect = f"the learning rate would start again within an epoch, which has {per_epoch:.0f} steps"
    elif isinstance(scheduler, lr_scheduler.PolynomialLR) and pace.steps > 2 * steps:
        effect = f"the learning rate would be zero from {steps / pace.steps:.0%} of the run on"
    else:
        return None
    what = f"{describe(scheduler, steps)}, and it makes {pace}: {pace.steps / steps:.1f} times as many"
    return what, effect, remedy(pace, name, fits_other=in_epochs)


def wrong_curve(scheduler: Any, pace: Pace) -> Problem | None:
    """Find learning rates that vanish, or a curve that fits the run only at the other interval."""
    if min(pace.steps, pace.other or pace.steps) <= TRIAL:
        return None
    curve, name = lr_curve(scheduler, pace.steps), type(scheduler).__name__
    if has_vanished(curve):
        return (
            f"{name} makes {pace}, and takes the learning rate below {VANISHED:g} of its peak for over half of them",
            "the weights would stop changing long before the run ends",
            remedy(pace, "", fits_other=pace.interval == "step"),
        )
    if length(scheduler)[1] == 0 and pace.other and not is_whole(curve) and is_whole(lr_curve(scheduler, pace.other)):
        return (
            f"{name} comes to its end in {count(pace.other)}, and it makes {pace}",
            f"the run would see {pace.steps / pace.other:.3g} times its schedule",
            remedy(pace, "", fits_other=True),
        )
    return None


def is_decay(scheduler: Any) -> bool:
    if isinstance(scheduler, lr_scheduler.LinearLR):
        return scheduler.end_factor < scheduler.start_factor
    return isinstance(scheduler, lr_scheduler.MultiStepLR) and scheduler.gamma < 1


def describe(scheduler: Any, steps: int) -> str:
    return f"{type(scheduler).__name__} was built for {count(steps)}"


def count(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def remedy(pace: Pace, name: str, *, fits_other: bool) -> str:
    """Say how to bring a scheduler and the run together: the other interval, if it fits, or another length."""
    after = "every batch" if pace.interval == "epoch" else "every epoch"
    interval = f"step it after {after}: interval={OTHER[pace.interval]} in its config, or its step() there"
    if pace.steps == 0:
        return f"{interval}; or lower its frequency, or the milestone before it"
    length = f"build it for {count(pace.steps)} ({name})" if name else f"build it for {count(pace.steps)}"
    return f"{interval}; or {length}" if fits_other else length

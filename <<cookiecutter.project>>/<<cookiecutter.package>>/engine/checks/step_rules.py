"""What a StepWatch has seen, judged: the order of a step, gradients, weights, optimizer groups."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from torch.optim.swa_utils import AveragedModel

from .checksums import checksums
from .finding import Finding, definition
from .steps import Step, StepWatch

HOOKS = ("optimizer_zero_grad", "optimizer_step", "on_before_zero_grad", "on_after_backward", "backward")
HOOKS += ("on_before_backward", "on_before_optimizer_step", "configure_gradient_clipping", "training_step")
NOISE = 1e-5  # of the largest gradient: one that would be 0 but for rounding, as of a bias before batch norm
RIGHT = "in each batch: optimizer.zero_grad(), then loss.backward(), then optimizer.step()"


def check_order(watch: StepWatch, *, last: bool) -> Iterator[Finding]:
    """(8) Per optimizer the order is zero_grad, backward, step. `last`: nothing more will come."""
    manual = not watch.module.automatic_optimization
    if last and manual and watch.optimizers and not (watch.backwards or any(watch.steps) or watch.by_hand):
        what = "backward and step are left out: in manual optimization training_step calls both"
        yield Finding("order", definition(watch.module, "training_step"), what, "nothing is learnt", RIGHT)
        return
    for number, steps in enumerate(watch.steps):
        which = f"optimizer {number}: " if len(watch.steps) > 1 else ""
        gets = any(watch.owner.get(key) == number for key in watch.received)
        taught = {watch.owner.get(key) for key in watch.nonzero}
        if (mistake := mistake_in(steps, automatic=watch.module.automatic_optimization)) is not None:
            where, what, effect = mistake
            yield Finding("order", where or definition(watch.module, *HOOKS), which + what, effect, RIGHT)
        elif steps and thrown_away(watch, number):
            what = "gradients are thrown away before the step: they were cleared between backward and step"
            effect = "the optimizer does not find them, and what these batches teach is lost"
            where = watch.cleared_at.get(number) or definition(watch.module, *HOOKS)
            yield Finding("order", where, which + what, effect, RIGHT)
        elif len(steps) > 1 and last and not gets and not any(step.fresh or step.stale for step in steps):
            what = "a step without gradients: no backward has reached the parameters of this optimizer"
            where = steps[-1].place or definition(watch.module, *HOOKS)
            yield Finding("order", where, which + what, "the optimizer steps and changes nothing", RIGHT)
        elif not steps and last and number in taught and number not in watch.by_hand:
            what = "a step is left out: gradients are computed and the optimizer never steps"
            where = definition(watch.module, "optimizer_step", "training_step")
            yield Finding("order", where, which + what, "the weights stay as they were initialised", RIGHT)


def thrown_away(watch: StepWatch, number: int) -> bool:
    """Say whether as many batches as were used, or more, were cleared before this optimizer, or any, had used them.

    A few may be left out on purpose, where a gradient is too large.
    """
    used = set().union(*watch.used)
    served = {watch.batch_of[n] for n in watch.used[number]}
    lost = {watch.batch_of[n] for n in watch.cleared[number] if n not in used} - served
    return len(lost) >= max(1, len(served))


def mistake_in(steps: list[Step], *, automatic: bool) -> tuple[str, str, str] | None:
    """Return the place of the first step, after the first one, that is wrong, what is wrong, and what comes of it."""
    for before, step in pairwise(steps):
        if step.fresh and step.stale:
            what = (
                "gradients are never cleared: this step adds the gradients of earlier batches, which were used already"
            )
            return (
                step.place,
                what,
                "the sum grows with every batch: training follows old gradients, and drifts or diverges",
            )
        if step.foreign:
            what = "gradients of another optimizer's loss are not cleared: this step adds them to its own"
            return (
                step.place,
                what,
                "this network also learns the other one's aim: in a GAN both work for the same side",
            )
        if step.fresh and max(step.fresh) < step.batch:
            what = "a step with the previous batch's gradients: step comes before the backward of its own batch"
            return step.place, what, "every update is one batch late, and the last batch is never learnt from"
        if not step.fresh and step.stale and max(step.stale) < step.batch:
            what = "a step with the previous batch's gradients, used already: step comes before backward"
            return step.place, what, "the same gradients move the weights again, and the new ones come too late"
        again = not step.fresh and (step.stale or before.fresh)
        if before.batch == step.batch and (again or automatic):
            what = "a step is done twice: the optimizer has stepped in this batch already"
            return (
                step.place,
                what,
                "the weights move twice for one batch: the learning rate is not what the config says",
            )
    return None


def check_gradients(watch: StepWatch, *, last: bool) -> Iterator[Finding]:
    """(10) Every trainable parameter has received a finite gradient. One that may still come is waited for until `last`."""
    if watch.not_finite and not watch.findings:
        names = [watch.names.get(key, "a parameter") for key in watch.not_finite]
        yield Finding(
            "gradients",
            names[0],
            f"the gradient of {listed(names, verb='')} is NaN or infinite",
            "one such step makes the weights NaN",
            "look for log(0), sqrt(0), a division by 0, or a norm of zeros on the way to the loss",
        )
    zero = without_slope(watch) if last else []
    if zero:
        yield Finding(
            "gradients",
            zero[0],
            f"all gradients of {listed(zero, verb='')} are 0 in {watch.batch} batches",
            "nothing is learnt there",
            "look for round, sign, argmax or a comparison on the way to the loss, for a ReLU that is always 0, and for a "
            "part of the loss whose factor is 0 so far",
            warning=bool(watch.nonzero),
        )
    missing = without_gradient(watch)
    if missing and last:
        yield Finding(
            "gradients",
            missing[0],
            f"{listed(missing)} without a gradient after {watch.batch} batches",
            "the optimizer never updates them: they stay as they were initialised",
            "use them in forward and leave out .detach(), .data, .item() and no_grad on the way; "
            "freeze what is not to be trained with requires_grad_(False)",
        )


def without_slope(watch: StepWatch) -> list[str]:
    """Return the paths of modules all of whose optimized parameters had gradients, and only zeros."""
    found = []
    for path, module in watch.module.named_modules():
        own = [id(p) for p in module.parameters(recurse=False) if watch.owner.get(id(p)) in stepping(watch)]
        if own and not watch.nonzero & set(own) and watch.received >= set(own):
            found.append(path)
    return found


def without_gradient(watch: StepWatch) -> list[str]:
    """Return the names of optimized parameters that had no gradient and that nothing else (an average) updates."""
    averaged = {id(p) for m in watch.module.modules() if isinstance(m, AveragedModel) for p in m.parameters()}
    optimized = {key: p for key, p in watch.parameters.items() if watch.owner.get(key) in stepping(watch)}
    silent = {key: p for key, p in optimized.items() if key not in watch.received | averaged and p.requires_grad}
    now = checksums(silent)
    return [watch.names[key] for key in silent if key in watch.names and now[key] == watch.at_first[key]]


def check_weights(watch: StepWatch, *, last: bool) -> Iterator[Finding]:
    """(11) Weights change when the optimizer steps, and keep the change."""
    stepped = {key: p for key, p in watch.parameters.items() if watch.owner.get(key) in stepping(watch)}
    stepped = {key: p for key, p in stepped.items() if key in watch.names}
    stepped = {key: p for key, p in stepped.items() if watch.largest[key] >= NOISE * largest_of(watch, key)}
    stepped = {key: p for key, p in stepped.items() if key in watch.nonzero}
    unchanged = [key for key in stepped if key not in watch.changed]
    if unchanged and last:
        rates = {group["lr"] for o in watch.optimizers for group in o.param_groups if "lr" in group}
        rising = watch.trainer.lr_scheduler_configs and len(unchanged) < len(stepped)  # a part may begin later
        yield Finding(
            "weights",
            watch.names.get(unchanged[0], "configure_optimizers"),
            f"{listed([watch.names.get(key, '?') for key in unchanged])} the same after {watch.batch} batches: "
            "the learning rate is 0 or too small to show",
            "nothing is learnt there",
            f"look at the learning rate (now {', '.join(map(str, sorted(map(float, rates))))}) and the scheduler",
            warning=bool(rising),
        )
    now = checksums(stepped)
    restored = [key for key in stepped if key in watch.changed and now[key] == watch.at_first[key] != 0]
    if restored and not unchanged and sum(len(steps) for steps in watch.steps) > 1:
        yield Finding(
            "weights",
            watch.names.get(restored[0], "configure_optimizers"),
            f"{listed([watch.names.get(key, '?') for key in restored])} changed by the step and then put back",
            "nothing is learnt there",
            "look for a load_state_dict, copy_ or initialisation that runs in every batch",
        )


def largest_of(watch: StepWatch, key: int) -> float:
    """Return the largest gradient of the optimizer that a parameter belongs to."""
    return max(watch.largest[other] for other, owner in watch.owner.items() if owner == watch.owner[key])


def stepping(watch: StepWatch) -> set[int]:
    """Return the numbers of the optimizers that have stepped often enough to be judged."""
    return {number for number, steps in enumerate(watch.steps) if len(steps) > 1}


def listed(names: Iterable[str], verb: str = "is") -> str:
    """Return `a is`, `a and b are` or `a, b, c and 4 more are`."""
    names = sorted(set(names))
    text = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{text} {'are' if verb == 'is' and len(names) > 1 else verb}".strip()

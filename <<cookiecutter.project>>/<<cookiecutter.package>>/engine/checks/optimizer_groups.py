"""Which optimizer holds which parameter."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from .finding import Finding, definition
from .step_rules import listed
from .steps import StepWatch, members


def check_optimizers(watch: StepWatch) -> Iterator[Finding]:
    """(3) Every trainable parameter is in exactly one optimizer group, also after fit has started."""
    where = definition(watch.module, "configure_optimizers")
    if not watch.optimizers:
        return
    current = {id(p): name for name, p in watch.module.named_parameters()}
    held = Counter(id(p) for optimizer in watch.optimizers for p in members(optimizer))
    later = {id(p) for p in watch.module.parameters() if id(p) not in watch.parameters and p.grad is not None}
    missing = [name for key, name in current.items() if key in watch.received | later and not held[key]]
    gone = [key for key in held if key not in current]
    if missing:
        also = f"; the optimizer holds {len(gone)} parameters that the model no longer has" if gone else ""
        yield Finding(
            "optimizer",
            missing[0],
            f"{listed(missing)} in no optimizer group{also}",
            "gradients are computed for them and they are never updated",
            f"hand them to the optimizer ({where}), make it after the last layer, or freeze them with requires_grad_(False)",
        )
    if twice := [current.get(key, "?") for key, count in held.items() if count > 1 and clash(watch, key)]:
        yield Finding(
            "optimizer",
            twice[0],
            f"{listed(twice)} in {max(held.values())} optimizers",
            "each of them steps: they are updated twice for a batch, in two different ways",
            f"give each parameter to one optimizer ({where})",
        )


def clash(watch: StepWatch, key: int) -> bool:
    """Say whether optimizers that hold a parameter step for the same backward, and none of them is inside another."""
    held = [{id(p) for p in members(optimizer)} for optimizer in watch.optimizers]
    holders = [number for number, keys in enumerate(held) if key in keys]
    for first, second in combinations(holders, 2):
        inside = second >= watch.configured and (held[first] >= held[second] or held[first] <= held[second])
        if not inside and watch.used[first] & watch.used[second]:
            return True
    return len(holders) < 2  # twice in one

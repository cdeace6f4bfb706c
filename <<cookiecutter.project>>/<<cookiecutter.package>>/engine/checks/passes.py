"""The order in which batches come, observed in the first two passes over a split."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from .batch import class_labels, fingerprint, inputs_and_labels, tensors
from .finding import Finding
from .samples import has_known_order, loaders_of

BATCHES = 8  # looked at in each pass
CERTAIN = 14.0  # chance of an equal order: exp(-14), one in a million


class Seen(NamedTuple):
    """What is kept of a batch: a hash of its inputs, its labels, its number of samples."""

    inputs: int
    labels: tuple[float, ...]
    size: int


class Passes:
    """The first batches of the first two passes over each split.

    Leave it out of a run with `overfit_batches`.

    Args:
        loaders: by split; it may be filled later, before `findings`.
    """

    def __init__(self, loaders: dict[str, Any]) -> None:
        self.loaders = loaders
        self.passes: dict[str, list[list[Seen]]] = {}

    def next_pass(self, split: str) -> None:
        self.passes.setdefault(split, []).append([])

    def see(self, split: str, batch: Any) -> None:
        passes = self.passes.setdefault(split, [[]])
        if len(passes) <= 2 and len(passes[-1]) < BATCHES:
            inputs, labels = inputs_and_labels(batch)
            labels = class_labels(labels)
            size = max(map(len, tensors(inputs)[:1]), default=0)
            passes[-1].append(Seen(fingerprint(inputs), () if labels is None else tuple(labels.tolist()), size))

    def complete(self, split: str) -> bool:
        """Say whether enough was seen of the present pass."""
        passes = self.passes.get(split, [[]])
        return len(passes) > 2 or len(passes[-1]) == BATCHES

    def findings(self) -> Iterator[Finding]:
        for split, passes in self.passes.items():
            pairs = list(zip(*passes[:2], strict=False)) if len(passes) > 1 else []
            if not pairs:
                continue
            first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            prints = [batch.inputs for batch in first]
            same_inputs = prints == [batch.inputs for batch in second]
            labels = tuple(label for batch in first for label in batch.labels)
            same_labels = labels == tuple(label for batch in second for label in batch.labels)
            if split == "train":
                fixed = same_inputs or (same_labels and can_tell(labels) and self.has_plain_order(split))
                # Without two different batches of one size no order shows.
                if fixed and len(set(prints)) > len({batch.size for batch in first}):
                    yield same_order(split)
            elif not same_inputs and can_tell(labels):
                yield (
                    random_inputs(split, self.streams(split))
                    if same_labels
                    else other_order(split, self.streams(split))
                )

    def has_plain_order(self, split: str) -> bool:
        """Say whether equal labels mean equal samples: a batch sampler of one's own may balance the classes."""
        return all(map(has_known_order, loaders_of(self.loaders.get(split))))

    def streams(self, split: str) -> bool:
        """Say whether each pass may rightly bring other samples."""
        return not self.has_plain_order(split)


def can_tell(values: tuple[float, ...]) -> bool:
    """Say whether these values have so many orders that two shuffled passes would not show the same one."""
    orders = math.lgamma(len(values) + 1) - sum(math.lgamma(number + 1) for number in Counter(values).values())
    return orders > CERTAIN


def same_order(split: str) -> Finding:
    return Finding(
        "shuffling",
        split,
        what="the first two epochs served the training data in the same order",
        effect="batches hold the same samples each time, of one class when the data is sorted: less is learnt",
        remedy="set shuffle=True; draw the order from (seed, epoch): a sampler needs set_epoch, a seed must not be set anew",
    )


def other_order(split: str, streams: bool) -> Finding:
    return Finding(
        "shuffling",
        split,
        what=f"two passes over {split} began with other samples",
        effect="what depends on the order differs from pass to pass: averages over batches, and parts of the split",
        remedy=f"set shuffle=False for the {split} loader; for a part of a dataset use Subset, not a random sampler",
        warning=streams,
    )


def random_inputs(split: str, streams: bool) -> Finding:
    return Finding(
        "augmentation",
        split,
        what=f"two passes over {split} had the same labels and other inputs",
        effect=f"the model is scored on randomly changed samples: scores on {split} are noisy, and mostly too low",
        remedy=f"give the {split} dataset the transform without its random parts; in a step, draw only if self.training",
        warning=streams,
    )

"""Projects that train wrong and that nothing here sees, each with the reason. Whoever makes one seen moves it to wrong.py."""

from dataclasses import dataclass

from projects.project import MANUAL, Project


@dataclass(frozen=True, kw_only=True)
class Unseen(Project):
    """A project that trains wrong."""

    reason: str


CLIPPING = "clipping is not watched: gradients may be changed at any moment"
NUMBERS = "only metrics are counted, not the lists, tensors and numbers of a model"

UNSEEN = [
    Unseen("clipping.ClippedAfterTheStep", overrides=MANUAL, reason=CLIPPING),
    Unseen("clipping.ClippedBeforeBackward", overrides=MANUAL, reason=CLIPPING),
    Unseen("clipping.ScaledGradientsClipped", overrides=MANUAL, reason=CLIPPING),
    Unseen("clipping.ClippedInTheTrainingStep", reason=CLIPPING),
    Unseen("clipping.ClippedAtTheEndOfTheBatch", reason=CLIPPING),
    Unseen("outputs.LogitsTimesAHundred", reason="a head may scale its logits on purpose"),
    Unseen("evaluation.EntriesOfTheSanityCheck", reason=NUMBERS),
    Unseen("evaluation.HitsOfTheSanityCheck", reason=NUMBERS),
    Unseen("evaluation.LowestOfTheSanityCheck", reason=NUMBERS),
]

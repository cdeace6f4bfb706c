"""Projects that train wrong and that nothing here sees, each with the reason. Whoever makes one seen moves it to wrong.py."""

from dataclasses import dataclass

from projects.project import MANUAL, Project


@dataclass(frozen=True, kw_only=True)
class Unseen(Project):
    """A project that trains wrong."""

    reason: str


CLIPPING = "clipping is not watched: gradients may be changed at any moment"
NUMBERS = "only metrics are counted, not the lists, tensors and numbers of a model"

FIRST = "the first loss is not judged: a head may scale its logits on purpose, and a few steps undo a bad start"
CLASSES = "every label is one of the classes; that one of them has no sample may be so"

UNSEEN = [
    Unseen("clipping.ClippedAfterTheStep", overrides=MANUAL, reason=CLIPPING),
    Unseen("clipping.ClippedBeforeBackward", overrides=MANUAL, reason=CLIPPING),
    Unseen("clipping.ScaledGradientsClipped", overrides=MANUAL, reason=CLIPPING),
    Unseen("clipping.ClippedInTheTrainingStep", reason=CLIPPING),
    Unseen("clipping.ClippedAtTheEndOfTheBatch", reason=CLIPPING),
    Unseen("outputs.LogitsTimesAHundred", reason=FIRST),
    Unseen("outputs.Confident", reason=FIRST),
    Unseen("outputs.OneClassPreferred", reason=FIRST),
    Unseen(data="wrong.LabelsFromOne", reason=CLASSES),
    Unseen(data="wrong.ElevenClasses", reason=CLASSES),
    Unseen(data="wrong.ClassAbsentFromTrain", reason=CLASSES),
    Unseen(data="wrong.UnknownLabels", reason="-100 is what the loss passes over on purpose"),
    Unseen(data="wrong.ValRowsDrawnByWeight", reason="rows that a weight leaves out are not told from the others"),
    Unseen(data="wrong.LabelsOfOthers", reason="only a whole training tells it from a hard task"),
    Unseen("evaluation.EntriesOfTheSanityCheck", reason=NUMBERS),
    Unseen("evaluation.HitsOfTheSanityCheck", reason=NUMBERS),
    Unseen("evaluation.LowestOfTheSanityCheck", reason=NUMBERS),
]

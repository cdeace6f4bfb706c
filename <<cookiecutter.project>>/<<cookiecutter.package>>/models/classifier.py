"""What every classifier is: one logit per class."""

from typing import Any

from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.models.supervised import Supervised


class Classifier(Supervised):
    """A model that maps inputs to logits (B, num_classes); labels are (B,), int64, in [0, num_classes).

    Args:
        num_classes: number of logits, from the data; metrics that name it receive it too.
        training: loss, metrics, optimizer, scheduler and compile, of Supervised.
    """

    def __init__(self, *, num_classes: int, **training: Any) -> None:
        super().__init__(**training)
        weight = getattr(self.loss, "weight", None)
        if weight is not None and len(weight) != num_classes:
            raise ConfigError(f"loss.weight must have {num_classes} numbers, one for each class, got {len(weight)}")

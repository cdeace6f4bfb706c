"""Does training go on in the second epoch as it began?"""

from collections.abc import Iterator
from dataclasses import dataclass

from lightning import LightningModule, Trainer

from .finding import Finding, definition
from .step_rules import listed
from .steps import members


@dataclass
class Begin:
    """What a model was like in its first step."""

    in_train: bool
    trainable: set[int]  # ids of parameters


def begin_of(model: LightningModule) -> Begin:
    return Begin(model.training, {id(p) for p in model.parameters() if p.requires_grad})


def check_second_epoch(trainer: Trainer, model: LightningModule, begin: Begin) -> Iterator[Finding]:
    """(3) and (4) still hold: what trains is in an optimizer, and in train mode.

    Args:
        trainer: has the optimizers.
        model: in the first step of the second epoch.
        begin: the same model in the first step of the run.
    """
    if begin.in_train and not model.training:
        yield Finding(
            "train_mode",
            definition(model, "on_train_epoch_end", "on_train_epoch_start", "training_step"),
            f"the model ({type(model).__name__}) trains in eval mode since its first epoch has ended",
            "dropout drops nothing, and batch norm uses running statistics that it does not update",
            "call self.train() after the .eval(): Lightning does so only after its own evaluations",
        )
    held = {id(p) for optimizer in trainer.optimizers for p in members(optimizer)}
    asked = {name: id(p) for name, p in model.named_parameters() if p.requires_grad}
    late = [name for name, key in asked.items() if key not in held | begin.trainable]
    if late and held:
        where = definition(model, "configure_optimizers")
        yield Finding(
            "optimizer",
            late[0],
            f"{listed(late)} trainable since the first epoch has ended, and in no optimizer group",
            "gradients are computed for them and they are never updated",
            f"hand all parameters to the optimizer ({where}), or call optimizer.add_param_group when they are unfrozen; "
            "Lightning's BaseFinetuning does so",
        )

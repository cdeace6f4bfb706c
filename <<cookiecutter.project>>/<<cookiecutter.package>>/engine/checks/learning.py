"""Can the model learn one batch by heart, and does it look at its inputs?"""

import math
import sys
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig
from torch import Tensor

from .changed_batch import change, copy_of, labels_of, one_batch, only_once, without_content
from .finding import Finding
from .trial import Batches, Trial, new_model, run_trial, with_loader

NUM_STEPS, SECONDS = 200, 10.0  # for one batch
WARMUP = 20  # steps: the peak learning rate at once is too much for some models


class ByHeart(Trial):
    """Train on one batch until it is learnt, at the peak of the learning rate: its schedule is made for a whole run.

    Args:
        num_classes: that the data has, if it says so.
        num_steps: after which it gives up.
        adam: whether it is with Adam, not with the optimizer of the config.
    """

    accuracy: float | None = None  # None: this is no classifier, or has no label for each sample
    learnt = False

    def __init__(self, num_classes: int | None, num_steps: int, adam: bool) -> None:
        super().__init__(num_steps, SECONDS)
        self.num_classes, self.adam = num_classes, adam
        self.call: tuple[Any, Any, Any] = ((), {}, None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        for config in trainer.lr_scheduler_configs:
            config.frequency = sys.maxsize
        self.groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self.peaks = [max(group.get(key, 0) for key in ("lr", "initial_lr", "max_lr")) for group in self.groups]
        pl_module.register_forward_hook(self.remember, with_kwargs=True)

    def remember(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        self.call = args, kwargs, output

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        for group, peak in zip(self.groups, self.peaks, strict=True):
            group["lr"] = peak * min(1, (batch_idx + 1) / WARMUP)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % 10 == 0:
            self.look(trainer, pl_module, batch)
            if self.learnt:
                self.num_batches = 0
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def look(self, trainer: Trainer, model: LightningModule, batch: Any) -> None:
        """Measure the accuracy on the batch; for what is no classifier, whether the loss has fallen."""
        (args, kwargs, output), labels = self.call, labels_of(batch)
        if labels is None or not self.are_logits(output, labels):
            self.learnt = self.fallen > 0.1
            return
        inputs = batch[0] if isinstance(batch, tuple | list) else None
        if isinstance(inputs, Tensor) and len(args) == 1 and args[0].shape == inputs.shape:
            args = (inputs,)  # training_step may have mixed or distorted them
        modes = {module: module.training for module in model.modules()}
        model.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            evaluated = model(*args, **kwargs)
        for module, training in modes.items():
            module.training = training
        self.accuracy = max((logits.argmax(dim=1) == labels).float().mean().item() for logits in (output, evaluated))
        commonest = labels.bincount().max().item() / len(labels)
        self.learnt = (self.accuracy or 0.0) >= 1 - 0.1 * (
            1 - commonest
        )  # more than the commonest label everywhere gives

    def are_logits(self, output: Any, labels: Tensor) -> bool:
        if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(labels) or labels.min() < 0:
            return False
        columns = output.size(1)
        return columns == self.num_classes if self.num_classes else columns > labels.max().item()

    @property
    def last(self) -> float:
        """The mean of the last losses."""
        return sum(self.losses[-5:]) / len(self.losses[-5:])

    @property
    def fallen(self) -> float:
        """How much the loss has fallen, as a share of the first one."""
        return (self.losses[0] - self.last) / max(abs(self.losses[0]), 1e-12)

    @property
    def story(self) -> str:
        accuracy = "" if self.accuracy is None else f"accuracy is {self.accuracy:.0%}, and "
        return f"after {len(self.losses)} steps {accuracy}the loss went from {self.losses[0]:.3g} to {self.last:.3g}"


def check_learning(cfg: DictConfig, data: LightningDataModule, model: LightningModule) -> dict[str, list[Finding]]:
    """(25) One batch can be learnt by heart, (26) and less of it when its inputs say nothing.

    Returns the findings for each of the two rules that applies.
    """
    batch = one_batch(data)
    if not model.automatic_optimization or batch is None:
        return {}
    own = best = attempt(cfg, data, batch)
    alike = change(batch, labels=torch.zeros_like)
    uses_labels = labels_of(batch) is not None and not same_losses(own, attempt(cfg, data, alike, num_steps=5))
    for adam in (False, True):
        best = attempt(cfg, data, batch, adam=True) if adam and not own.learnt else own
        if not uses_labels:
            best.accuracy, best.learnt = None, best.fallen > 0.1
    is_frozen = any(not p.requires_grad for p in model.parameters())
    too_slow = len(best.losses) < NUM_STEPS // 2
    if not best.learnt and (is_frozen or too_slow):
        return {}
    found = {"one_batch": list(check_one_batch(own, best))}
    if uses_labels and best.accuracy is not None:
        num_steps = 2 * len(best.losses)
        blank = attempt(cfg, data, batch, num_steps=num_steps, adam=best.adam, blank=True)
        found["zero_inputs"] = list(check_zero_inputs(best, blank))
    return found


def check_one_batch(own: ByHeart, best: ByHeart) -> Iterator[Finding]:
    """(25) The model can learn one batch by heart, and its own optimizer gets it there."""
    if own.learnt:
        return
    if best.learnt:
        yield Finding(
            "one_batch",
            "optimizer",
            f"one batch is not learnt by heart: {own.story}; Adam with a learning rate of 1e-3 learns it",
            "the whole data set is learnt no better than one batch",
            "raise optimizer.lr" if abs(own.fallen) < 0.1 else "lower optimizer.lr, or look at its other values",
            warning=abs(own.fallen) >= 0.1,
        )
    else:
        yield Finding(
            "one_batch",
            own.where,
            f"one batch is not learnt by heart, with no optimizer: {own.story}",
            "what cannot learn one batch cannot learn the data set",
            "look for labels that do not belong to their inputs, a loss of the wrong sign, detach(), "
            "an activation on the last layer, and very much dropout",
            warning=own.accuracy is None,
        )


def check_zero_inputs(real: ByHeart, blank: ByHeart) -> Iterator[Finding]:
    """(26) Real inputs teach more than inputs of zeros, which all look alike."""
    if blank.learnt:
        what, effect = "inputs of zeros are learnt by heart", "the labels come from somewhere else than the inputs"
        remedy = "look for the label among what training_step gives to the model or adds to its output"
    elif not real.learnt and real.last > 0.95 * blank.last:
        what, effect = "inputs of zeros teach as much as real ones", "only the frequency of each class is learnt"
        remedy = "follow the inputs through transforms and forward: are they constant, clipped or never used?"
    else:
        return
    what += f": a loss of {blank.last:.3g}, and of {real.last:.3g} with real ones"
    yield Finding("zero_inputs", real.where, what, effect, remedy)


def attempt(
    cfg: DictConfig,
    data: LightningDataModule,
    batch: Any,
    *,
    num_steps: int = NUM_STEPS,
    adam: bool = False,
    blank: bool = False,
) -> ByHeart:
    """Train a fresh model on one batch; with Adam in place of its own optimizer, or on blank inputs, if asked to."""
    model = new_model(cfg, data)
    if adam:
        trainable = [p for p in model.parameters() if p.requires_grad]
        vars(model)["configure_optimizers"] = lambda: torch.optim.Adam(trainable, lr=1e-3)
    changes = {"inputs": without_content} if blank else {}
    batch = change(batch, **changes)
    trial = ByHeart(getattr(data, "num_classes", None), num_steps, adam)
    data = with_loader(data, Batches(lambda: map(copy_of, repeat(batch)), num_steps + 1))
    if is_overridden("on_after_batch_transfer", data):
        vars(data)["on_after_batch_transfer"] = only_once(data.on_after_batch_transfer, **changes)
    with torch.compiler.set_stance("force_eager"):
        run_trial(cfg, data, model, trial, accumulate_grad_batches=1)
    return trial


def same_losses(one: Trial, other: Trial) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(one.losses, other.losses, strict=False))

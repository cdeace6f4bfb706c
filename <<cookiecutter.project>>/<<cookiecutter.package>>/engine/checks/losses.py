"""The loss: what it is given, what it is, and what it begins with."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from .calls import CallWatch, LossCall
from .finding import Finding
from .registered import leaves

OWN = ("_parameters", "_buffers", "_modules", "_trainer", "_fabric", "_hparams")  # of nn.Module and Lightning
PLAIN = (list, tuple, set, frozenset, dict)


def check_losses(calls: CallWatch, num_classes: int | None) -> Iterator[Finding]:
    """(5) and (7): what a loss of torch is given."""
    for call in calls.losses:
        outputs = call.outputs.detach()
        one_logit = outputs.dim() == 1 and call.name == "binary_cross_entropy_with_logits"
        if not outputs.is_floating_point() or (outputs.dim() < 2 and not one_logit):
            continue
        yield from check_logits(call, calls.maker(call.outputs) or call.where)
        if call.name != "binary_cross_entropy_with_logits" and num_classes and is_in(call.targets, calls.batch):
            columns = outputs.size(1)
            others = [other.outputs.size(1) for other in calls.losses if other.outputs.dim() > 1]
            if num_classes not in others:  # a second loss may have labels of its own, such as coarse ones
                yield Finding(
                    "num_classes",
                    calls.maker(call.outputs) or call.where,
                    f"the model gives {columns} logits for {num_classes} classes",
                    "probability goes to classes that do not exist, and the loss cannot become small",
                    "end with nn.Linear(..., self.hparams.num_classes), which comes from the data",
                )


def check_logits(call: LossCall, where: str) -> Iterator[Finding]:
    """(7) No softmax before a loss that applies it, and log_softmax before the one that does not."""
    outputs = call.outputs.detach().float()
    sums = outputs.sum(dim=-1)
    is_softmax = bool((outputs >= 0).all() and ((sums - 1).abs() < 1e-3).all())
    made_by = origin(call.outputs)
    if call.name == "nll_loss" and bool(((outputs.exp().sum(dim=1) - 1).abs() > 0.05).any()):
        what = "probabilities" if is_softmax else "logits"
        effect = "the loss falls without limit, or towards -1, and does not measure the probability of the right class"
        remedy = "use cross_entropy on the logits, or log_softmax(logits, dim=1) before nll_loss"
        yield Finding("logits", call.where, f"nll_loss is given {what}, not log-probabilities", effect, remedy)
    elif call.name == "cross_entropy" and (is_softmax or made_by in ("SoftmaxBackward", "SigmoidBackward")):
        what = "sigmoid" if made_by == "SigmoidBackward" else "softmax"
        effect = "softmax is applied twice: the loss cannot come near 0, gradients are small, and learning is slow"
        remedy = f"hand over the logits, the output of the last linear layer, without {what}"
        yield Finding("logits", where, f"cross_entropy is given the output of {what}", effect, remedy)
    elif call.name == "binary_cross_entropy_with_logits" and made_by in ("SoftmaxBackward", "SigmoidBackward"):
        effect = "sigmoid is applied twice: probabilities stay between 0.5 and 0.73"
        remedy = "hand over the logits, without sigmoid, or use binary_cross_entropy"
        yield Finding("logits", where, "the loss applies sigmoid, and so does the model", effect, remedy)


def origin(tensor: Tensor) -> str:
    """Return the name of the operation that made a tensor, views and casts aside, without its number."""
    node = tensor.grad_fn
    while node is not None and node.name().startswith(
        ("View", "Squeeze", "Unsqueeze", "ToCopy", "Transpose", "Permute", "Select", "Clamp")
    ):
        node = node.next_functions[0][0]
    return "" if node is None else node.name().rstrip("0123456789")


def check_first_loss(calls: CallWatch) -> Iterator[Finding]:
    """(12) The first loss of a model that knows nothing yet is near ln(num_classes)."""
    for call in calls.losses[:1]:
        if call.name != "cross_entropy" or call.outputs.dim() < 2 or not is_in(call.targets, calls.batch):
            continue
        logits, classes = call.outputs.detach().float(), call.outputs.size(1)
        loss = functional.cross_entropy(logits, call.targets, ignore_index=call.ignore_index).item()
        expected = math.log(classes)
        if math.isfinite(loss) and not 0.5 * expected <= loss <= 1.5 * expected + 0.3:
            high = loss > expected
            yield Finding(
                "first_loss",
                calls.maker(call.outputs) or call.where,
                f"the first loss is {loss:.2f}; a model that knows nothing has ln({classes}) = {expected:.2f}",
                "the first steps only undo a bad start" if high else "the answer may be among the inputs",
                f"{'initialise the last layer with smaller weights' if high else 'look for the label in the inputs'}; "
                f"the logits have a standard deviation of {logits.std().item():.2g}",
                warning=True,
            )


def judges(calls: CallWatch) -> bool:
    """Say whether a loss compares what the model puts out with the labels of the batch."""
    return any(
        calls.entry and loss.outputs is calls.entry.output and is_in(loss.targets, calls.batch) for loss in calls.losses
    )


def is_in(targets: Tensor, batch: Any) -> bool:
    """Say whether targets are the labels of a batch, in whatever shape."""
    if targets.is_floating_point():
        return False
    candidates = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.numel() == targets.numel()]
    return any(torch.equal(leaf.flatten(), targets.flatten()) for leaf in candidates if leaf.dtype == targets.dtype)


def no_loss(where: str) -> Finding:
    what = "there is no loss: training_step returns None, and Lightning leaves out backward"
    return Finding("loss", where, what, "nothing is learnt", "return the loss from training_step")


def check_loss(losses: Iterable[Tensor], parameters: dict[int, Tensor], where: str) -> Iterator[Finding]:
    """(9) The loss is one finite number with a gradient."""
    for loss in losses:
        ends = [loss] if loss.grad_fn is None else list(leaves(loss))
        if all(leaf.dim() == 0 and id(leaf) not in parameters for leaf in ends):  # a number that was made a tensor
            yield Finding(
                "loss",
                where,
                "the loss is cut off from the model: no operation leads back from it to a parameter",
                "backward gives no parameter a gradient, and nothing is learnt",
                "compute the loss from the model's output, without .item(), .detach(), torch.tensor(...) or no_grad on the way",
            )
        elif loss.numel() == 1 and not math.isfinite(loss.item()):
            yield Finding(
                "loss",
                where,
                f"the loss is {loss.item()}",
                "one such step makes every weight NaN",
                "look for NaN in the inputs, a division by 0, log(0), or a learning rate that is too high",
            )

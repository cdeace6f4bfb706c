"""What is known of one gradient."""

from torch import Tensor

from .finding import Finding


def scaled(what: str, where: str) -> Finding:
    return Finding(
        "clipping",
        where or "training_step",
        what,
        "the scale, 65 536 at first, counts as part of their size: the update is far too small or far too large",
        "call scaler.unscale_(optimizer) before clipping, and scaler.step(optimizer) instead of optimizer.step()",
    )


def version(grad: Tensor | None) -> tuple[int, int] | None:
    """Return what changes whenever something is added to a gradient."""
    return None if grad is None else (id(grad), grad._version)


def nonzero(grad: Tensor) -> bool:
    return grad.is_sparse or bool(grad.any())


def finite(grad: Tensor) -> bool:
    return grad.is_sparse or bool(grad.isfinite().all())

"""What is known of one gradient."""

from torch import Tensor


def version(grad: Tensor | None) -> tuple[int, int] | None:
    """Return what changes whenever something is added to a gradient."""
    return None if grad is None else (id(grad), grad._version)


def size(grad: Tensor) -> float:
    """Return the largest absolute value of a gradient, NaN if there is one."""
    values = grad.coalesce().values() if grad.is_sparse else grad
    return float(values.abs().max()) if values.numel() else 0.0

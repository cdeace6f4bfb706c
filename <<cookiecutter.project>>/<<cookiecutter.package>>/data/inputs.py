"""What predict.py and export.py need of a kind of data: files become inputs of a model as they did in training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn


class InputBatch(NamedTuple):
    """Some samples of a file or of many, in their order."""

    sources: np.ndarray  # (B,), paths, or numbers of rows
    tensors: tuple[Tensor, ...]  # each (B, ...); whatever, where there is an error
    errors: Mapping[int, str]  # why a sample cannot be read, by its place in the batch
    total: int | None = None  # how many there are in all, if that is known


class Inputs(nn.Module):
    """Reads files; a data set names a subclass and its arguments in `state_dict()["inputs"]`, which checkpoints hold.

    Its `__init__` also receives what it names of the rest of that state, such as mean and std. All are plain data.
    """

    names: tuple[str, ...]  # of the inputs of an exported model

    def batches(self, source: str | Sequence[str], batch_size: int) -> Iterator[InputBatch]:
        """Yield what the config key `input` names, in batches that differ by one sample at most, as evaluation does.

        Raises:
            ConfigError: it cannot be read as a whole.
        """
        raise NotImplementedError

    def prepare(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Map the tensors of a batch, on the device of the model, to what its `forward` takes."""
        return tensors

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Do the same with what an exported model is given: its preprocessing, within the graph."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """Return what the inputs of an exported model are, as plain data for its metadata."""
        raise NotImplementedError

    def example(self) -> str:
        """Return the lines of Python that make them, without torch, for a file or a row named here."""
        raise NotImplementedError

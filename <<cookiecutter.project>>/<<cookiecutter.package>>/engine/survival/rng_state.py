"""The state of every random number generator that training uses in this process, as plain data."""

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

RngState = dict[str, Any]


def rng_state(loaders: Iterable[Any]) -> RngState:
    """Return the states of Python, numpy, torch, of the devices in use, and of the generators that loaders own."""
    version, numbers, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()
    state = {
        # As tensors: pickle would write each of these numbers by itself, in every checkpoint.
        "python": (version, torch.tensor(numbers), gauss),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "loaders": [generator.get_state() for generator in generators(loaders)],
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: RngState, loaders: Iterable[Any]) -> None:
    """Go back to the states that `rng_state` returned."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy(), *rest))
    torch.set_rng_state(state["torch"])
    for generator, generator_state in zip(generators(loaders), state["loaders"], strict=True):
        generator.set_state(generator_state)
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def generators(loaders: Iterable[Any]) -> list[torch.Generator]:
    """Return the generators of loaders and of their samplers; one that has a `state_dict` saves its own."""
    plain = [loader for loader in loaders if not hasattr(loader, "state_dict")]
    owners = [*plain, *(getattr(loader, "sampler", None) for loader in plain)]
    return [owner.generator for owner in owners if isinstance(getattr(owner, "generator", None), torch.Generator)]

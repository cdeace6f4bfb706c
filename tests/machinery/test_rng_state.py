"""Random numbers go on where a checkpoint was saved."""

import random

import numpy as np
import torch
from my_project.engine.survival.rng_state import rng_state, set_rng_state


def numbers():
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(()).item()]


def test_numbers_of_python_numpy_and_torch_go_on_where_a_checkpoint_was_saved(tmp_path):
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    numbers()  # half a pair of normal numbers is kept, which is part of the state
    torch.save(rng_state([]), tmp_path / "last.ckpt")
    expected = [numbers() for _ in range(700)]  # beyond the 624 of a Mersenne twister
    set_rng_state(torch.load(tmp_path / "last.ckpt", weights_only=True), [])
    assert [numbers() for _ in range(700)] == expected
    for number in range(5):
        assert numbers()[number] not in [row[number] for row in expected]

import io
import random

import numpy as np
import pytest
import torch

from peerdistill.training.randomness import random_state, restore_random_state


def draws() -> list:
    """A few numbers of every generator; both normal ones keep a second value for the next draw."""
    return [
        *(random.random(), random.gauss(0, 1)),
        *(np.random.rand(), np.random.randn()),
        *torch.randn(3).tolist(),
        *torch.randperm(9).tolist(),
    ]


def as_a_file_keeps_it(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_go_on_where_the_state_was_taken(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    draws()
    state = as_a_file_keeps_it(random_state())
    expected = draws()
    draws()
    restore_random_state(state)
    assert draws() == expected


def test_a_state_stays_as_it_was_taken():
    state = random_state()
    expected = draws()
    restore_random_state(state)
    assert draws() == expected
    restore_random_state(state)
    assert draws() == expected

import io
import itertools
import random

import numpy as np
import pytest
import torch

from peerdistill.rng import Draws, keyed_generator, keyed_seed, random_state, restore_random_state


def test_every_key_has_its_own_seed():
    keys = [*itertools.product(range(6), repeat=3), (2**40, 0, 0), (0, 0, 2**40)]
    assert len({keyed_seed(draws, *key) for draws in Draws for key in keys}) == len(Draws) * len(keys)


def test_draws_depend_on_the_key_alone():
    first = torch.rand(5, generator=keyed_generator(Draws.AUGMENTATION, 2, 3))
    torch.manual_seed(0)
    torch.rand(7)
    assert torch.equal(first, torch.rand(5, generator=keyed_generator(Draws.AUGMENTATION, 2, 3)))
    assert not torch.equal(first, torch.rand(5, generator=keyed_generator(Draws.AUGMENTATION, 2, 4)))


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

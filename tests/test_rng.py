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


def test_of_the_gpus_the_state_has_only_the_one_that_the_process_uses(monkeypatch):
    """Those of other processes are not known here, and a run may go on where there are fewer GPUs."""
    generators = {"mine": torch.Generator().manual_seed(5)}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: generators["mine"].get_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: generators["mine"].set_state(state))
    state = as_a_file_keeps_it(random_state())
    expected = torch.rand(3, generator=generators["mine"])
    generators["mine"] = torch.Generator().manual_seed(6)  # of another process
    restore_random_state(state)
    assert torch.equal(torch.rand(3, generator=generators["mine"]), expected)

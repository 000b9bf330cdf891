import itertools

import torch

from peerdistill.data.randomness import keyed_generator, keyed_seed


def test_every_key_has_its_own_seed():
    keys = [*itertools.product(range(6), repeat=3), (2**40, 0, 0), (0, 0, 2**40)]
    assert len({keyed_seed(*key) for key in keys}) == len(keys)


def test_draws_depend_on_the_key_alone():
    first = torch.rand(5, generator=keyed_generator(1, 2, 3))
    torch.manual_seed(0)
    torch.rand(7)
    assert torch.equal(first, torch.rand(5, generator=keyed_generator(1, 2, 3)))
    assert not torch.equal(first, torch.rand(5, generator=keyed_generator(1, 2, 4)))

import random

import torch
from timm.data.random_erasing import RandomErasing

from peerdistill.data.augmentation.erasing import Erasing
from peerdistill.data.step import Step
from peerdistill.rng import Draws, keyed_seed

CPU = torch.device("cpu")


def noise(batch: int, size: int = 16) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def erased(batch: int, probability: float, *, seed: int = 0, epoch: int = 0, number: int = 0) -> torch.Tensor:
    images = noise(batch)
    Erasing(probability, seed, CPU)(images, Step(epoch, number, torch.arange(batch)))
    return images


def test_it_is_timms():
    expected = noise(32)
    state = random.getstate()
    random.seed(keyed_seed(Draws.ERASING, 4, 2, 7))
    RandomErasing(0.5, device="cpu")(expected)
    random.setstate(state)
    assert torch.equal(erased(32, 0.5, seed=4, epoch=2, number=7), expected)
    assert random.getstate() == state


def test_one_rectangle_of_each_chosen_image_becomes_zero():
    images, before = erased(400, 0.5), noise(400)
    areas, places = [], set()
    for image, original in zip(images, before, strict=True):
        is_erased = (image != original).any(0)
        if not is_erased.any():
            continue
        rows, columns = is_erased.any(1).nonzero(), is_erased.any(0).nonzero()
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        assert (image[:, box[0], box[1]] == 0).all()
        assert is_erased.sum() == is_erased[box].numel()
        areas.append(is_erased[box].numel() / is_erased.numel())
        places.add(tuple(int(edge) for side in box for edge in (side.start, side.stop)))
    assert 160 < len(areas) < 240  # 200 expected, standard deviation 10
    assert min(areas) < 0.05
    assert 0.3 < max(areas) < 0.4
    assert len(places) > 100


def test_draws_depend_on_seed_epoch_and_step():
    positions = [{}, {"seed": 1}, {"epoch": 1}, {"number": 1}]
    assert len({erased(4, 1.0, **position).numpy().tobytes() for position in positions}) == 4
    assert torch.equal(erased(4, 1.0), erased(4, 1.0))

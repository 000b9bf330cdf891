import math

import numpy as np
import pytest
import torch
from torch import nn, optim

from peerdistill.training import OptimizerConfig, ScheduleConfig
from peerdistill.training.optimizers import make_optimizer
from peerdistill.training.schedules import make_schedule


def rates(config: ScheduleConfig, steps: int, warmup_steps: int, lr: float = 0.05) -> list[float]:
    """Return the learning rate of every step, and the one after the last."""
    optimizer = make_optimizer([{"params": [nn.Parameter(torch.zeros(2))]}], OptimizerConfig(), lr)
    schedule = make_schedule(optimizer, config, steps=steps, warmup_steps=warmup_steps)
    found = []
    for _ in range(steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_cosine_decays_from_the_rate_to_zero():
    found = rates(ScheduleConfig("cosine"), steps=40, warmup_steps=0)
    assert found == pytest.approx([0.05 * (1 + math.cos(math.pi * k / 40)) / 2 for k in range(41)], abs=1e-15)
    assert found[0] == 0.05
    assert found[-1] == 0.0


def test_cosine_agrees_with_pytorch():
    optimizer = optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.3)
    stock = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=25)
    expected = []
    for _ in range(26):
        expected.append(stock.get_last_lr()[0])
        optimizer.step()
        stock.step()
    assert rates(ScheduleConfig("cosine"), 25, 0, lr=0.3) == pytest.approx(expected, abs=1e-12)


def test_constant_keeps_the_rate():
    assert rates(ScheduleConfig("constant"), 9, 0) == [0.05] * 10


@pytest.mark.parametrize("name", ["cosine", "constant"])
def test_warmup_is_linear_and_reaches_the_rate(name):
    found = rates(ScheduleConfig(name), steps=30, warmup_steps=10)
    assert found[:10] == pytest.approx(np.linspace(0.005, 0.05, 10))
    if name == "cosine":  # the remaining steps follow a whole cosine decay
        assert found[10:] == pytest.approx([0.05 * (1 + math.cos(math.pi * k / 20)) / 2 for k in range(21)], abs=1e-15)
    else:
        assert found[10:] == [0.05] * 21


def test_step_agrees_with_pytorch():
    optimizer = optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.3)
    stock = optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.5)
    expected = []
    for _ in range(26):
        expected.append(stock.get_last_lr()[0])
        optimizer.step()
        stock.step()
    assert rates(ScheduleConfig("step", every=7, factor=0.5), 25, 0, lr=0.3) == pytest.approx(expected, abs=1e-15)


def test_step_counts_from_the_end_of_the_warmup():
    found = rates(ScheduleConfig("step", every=4, factor=0.1), steps=10, warmup_steps=2, lr=1.0)
    assert found == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.01])

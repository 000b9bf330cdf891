import math
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn, optim

from peerdistill import Cohort
from peerdistill.training import OptimizerConfig, ScheduleConfig
from peerdistill.training.schedules import load_optimizer_state, make_optimizer, make_schedule


def rates(config: ScheduleConfig, steps: int, warmup_steps: int, lr: float = 0.05) -> list[float]:
    """Return the learning rate of every step, and the one after the last."""
    optimizer = make_optimizer([nn.Parameter(torch.zeros(2))], OptimizerConfig(), lr)
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


def test_sgd_gets_its_options():
    optimizer = make_optimizer([nn.Parameter(torch.zeros(2))], OptimizerConfig("sgd", 0.8, True, 0.01), 0.2)
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, optim.SGD)
    assert [group[name] for name in ("lr", "momentum", "nesterov", "weight_decay")] == [0.2, 0.8, True, 0.01]


def test_nesterov_is_ignored_without_momentum():
    """PyTorch refuses Nesterov's momentum without momentum."""
    optimizer = make_optimizer([nn.Parameter(torch.zeros(2))], OptimizerConfig(momentum=0.0, nesterov=True), 0.2)
    assert optimizer.param_groups[0]["nesterov"] is False


@pytest.mark.parametrize(("name", "kind"), [("adam", optim.Adam), ("adamw", optim.AdamW)])
def test_adam_and_adamw_get_rate_and_weight_decay(name, kind):
    optimizer = make_optimizer([nn.Parameter(torch.zeros(2))], OptimizerConfig(name, weight_decay=0.3), 0.2)
    assert type(optimizer) is kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.2, 0.3)


OPTIMIZERS = {"sgd": partial(optim.SGD, momentum=0.9, nesterov=True), "adam": optim.Adam, "adamw": optim.AdamW}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def steps(optimizer: optim.Optimizer, weights: nn.Parameter, gradients: torch.Tensor) -> None:
    for gradient in gradients:
        weights.grad = torch.empty_like(weights).copy_(gradient)
        optimizer.step()


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_fused_step_agrees_with_the_loop(name, memory_format):
    start, gradients = torch.randn(4, 3, 2, 2), torch.randn(3, 4, 3, 2, 2)
    ours = nn.Parameter(start.clone(memory_format=FORMATS[memory_format]))
    plain = nn.Parameter(start.clone())
    steps(make_optimizer([ours], OptimizerConfig(name, weight_decay=0.1), 0.1), ours, gradients)
    steps(OPTIMIZERS[name]([plain], lr=0.1, weight_decay=0.1, fused=False, foreach=False), plain, gradients)
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_state_of_another_memory_format_is_loaded(name):
    """A run may be resumed on a machine where another memory format is faster."""
    start, gradients = torch.randn(4, 3, 2, 2), torch.randn(4, 4, 3, 2, 2)
    through = nn.Parameter(start.clone())
    before = make_optimizer([through], OptimizerConfig(name), 0.1)
    steps(before, through, gradients[:2])
    after = nn.Parameter(through.detach().clone(memory_format=torch.channels_last))
    resumed = make_optimizer([after], OptimizerConfig(name), 0.1)
    load_optimizer_state(resumed, deepcopy(before.state_dict()))
    steps(before, through, gradients[2:])
    steps(resumed, after, gradients[2:])
    torch.testing.assert_close(after, through)


def test_shared_parameters_are_included_once():
    cohort = Cohort("resnet20", classes=3, peers=3, sharing="branch")
    every = [parameter for network in cohort.networks for parameter in network.parameters()]
    optimizer = make_optimizer(every, OptimizerConfig(), 0.1)
    included = optimizer.param_groups[0]["params"]
    assert len(every) > len(included) == len({id(parameter) for parameter in every})


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

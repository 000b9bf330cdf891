"""Optimizers and learning-rate schedules from their configuration."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn, optim

from peerdistill.training.config import OptimizerConfig, ScheduleConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig, lr: float) -> optim.Optimizer:
    """Return an optimizer with a fused step. Parameters that several peers share are included once."""
    unique = list(dict.fromkeys(parameters))
    decay = config.weight_decay
    if config.name == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return optim.SGD(unique, lr, momentum=config.momentum, nesterov=nesterov, weight_decay=decay, fused=True)
    kind = optim.Adam if config.name == "adam" else optim.AdamW
    return kind(unique, lr, weight_decay=decay, fused=True)


def load_optimizer_state(optimizer: optim.Optimizer, state: dict[str, Any]) -> None:
    """Load ``state`` and give it the memory format of the parameters, which the fused step relies on."""
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value is not None and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def make_schedule(
    optimizer: optim.Optimizer, config: ScheduleConfig, *, steps: int, warmup_steps: int
) -> optim.lr_scheduler.LambdaLR:
    """Return the schedule of a run of ``steps`` steps. Its ``step()`` is called after every optimizer step."""
    return optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(step, config, steps=steps, warmup_steps=warmup_steps)
    )


def rate_factor(step: int, config: ScheduleConfig, *, steps: int, warmup_steps: int) -> float:
    """Return the factor on the learning rate at ``step`` of ``steps``, counted from 0.

    After a linear warmup over ``warmup_steps`` the factor is 1 ("constant"), is multiplied by ``config.factor`` after
    every ``config.every`` steps ("step"), or follows a cosine from 1 to 0 ("cosine"; Loshchilov and Hutter, ICLR 2017,
    without restarts).

    Example:
        >>> from peerdistill.training import ScheduleConfig
        >>> [round(rate_factor(step, ScheduleConfig("cosine"), steps=8, warmup_steps=4), 2) for step in range(9)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if config.name == "constant":
        return 1.0
    if config.name == "step":
        return config.factor ** ((step - warmup_steps) // config.every)
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

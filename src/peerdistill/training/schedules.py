"""Optimisers and learning-rate schedules from their configuration."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn, optim

from peerdistill.training.config import OptimizerConfig, ScheduleConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig, lr: float) -> optim.Optimizer:
    """Return the optimiser of ``parameters``; each parameter once, however many peers share it.

    Its step is one kernel for all parameters.
    """
    unique = list(dict.fromkeys(parameters))
    decay = config.weight_decay
    if config.name == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return optim.SGD(unique, lr, momentum=config.momentum, nesterov=nesterov, weight_decay=decay, fused=True)
    kind = optim.Adam if config.name == "adam" else optim.AdamW
    return kind(unique, lr, weight_decay=decay, fused=True)


def load_optimizer_state(optimizer: optim.Optimizer, state: dict[str, Any]) -> None:
    """Load ``state``, laid out in memory as the parameters are now: the one kernel for all relies on that."""
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value is not None and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def make_schedule(
    optimizer: optim.Optimizer, config: ScheduleConfig, *, steps: int, warmup_steps: int
) -> optim.lr_scheduler.LambdaLR:
    """Return the schedule, to be moved on once after every one of ``steps`` steps."""
    return optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(step, config, steps=steps, warmup_steps=warmup_steps)
    )


def rate_factor(step: int, config: ScheduleConfig, *, steps: int, warmup_steps: int) -> float:
    """Return the factor on the learning rate at ``step`` of ``steps``, counted from 0.

    A linear rise over ``warmup_steps``, then 1 ("constant"), a fall by ``config.factor`` after every ``config.every``
    further steps ("step") or half a cosine down to 0 ("cosine"; Loshchilov and Hutter, ICLR 2017, without restarts).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if config.name == "constant":
        return 1.0
    if config.name == "step":
        return config.factor ** ((step - warmup_steps) // config.every)
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

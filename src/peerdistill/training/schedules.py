"""Learning-rate schedules."""

import math

from torch import optim

from peerdistill.training.config import ScheduleConfig


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

"""Train peers for few-shot classification, on episodes."""

from functools import partial

from peerdistill.cli.training import run_training
from peerdistill.config.kinds import EPISODES

HELP_ORDER = 30

run = partial(run_training, kind=EPISODES)

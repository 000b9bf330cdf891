"""Train peers on your images or on a benchmark data set."""

from functools import partial

from peerdistill.cli.training import run_training
from peerdistill.config.kinds import CLASSES

HELP_ORDER = 20

run = partial(run_training, kind=CLASSES)

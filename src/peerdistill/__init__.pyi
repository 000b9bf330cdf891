from . import backbones, config, contrast, data, deploy, evaluation, fewshot, methods, runs, terms, training
from .cohort import Cohort, CohortOutput
from .deploy import load_leader
from .errors import UserError
from .runs.api import dry_run, train
from .runs.run import Run

__version__: str
__all__ = [
    "Cohort",
    "CohortOutput",
    "Run",
    "UserError",
    "backbones",
    "config",
    "contrast",
    "data",
    "deploy",
    "dry_run",
    "evaluation",
    "fewshot",
    "load_leader",
    "methods",
    "runs",
    "terms",
    "train",
    "training",
]

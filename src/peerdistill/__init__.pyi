from . import backbones, config, contrast, data, deploy, evaluation, fewshot, methods, runs, terms, training
from .cohort import Cohort, CohortOutput
from .deploy import load_leader
from .errors import UserError

__version__: str
__all__ = [
    "Cohort",
    "CohortOutput",
    "UserError",
    "backbones",
    "config",
    "contrast",
    "data",
    "deploy",
    "evaluation",
    "fewshot",
    "load_leader",
    "methods",
    "runs",
    "terms",
    "training",
]

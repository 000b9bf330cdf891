from . import backbones, contrast, data, deploy, evaluation, experiment, fewshot, methods, terms, training
from .cohort import Cohort, CohortOutput
from .deploy import load_leader
from .errors import UserError

__version__: str
__all__ = [
    "Cohort",
    "CohortOutput",
    "UserError",
    "backbones",
    "contrast",
    "data",
    "deploy",
    "evaluation",
    "experiment",
    "fewshot",
    "load_leader",
    "methods",
    "terms",
    "training",
]

from .config import CohortConfig, Config, TeacherConfig
from .options import parse, read_config, train_parser
from .parsing import make_parser, parse_words
from .restore import Restored, evaluate_run, load_data, restore, sample_pictures, scorer_of
from .run import Run
from .teacher import load_teacher
from .train import train

__all__ = [
    "CohortConfig",
    "Config",
    "Restored",
    "Run",
    "TeacherConfig",
    "evaluate_run",
    "load_data",
    "load_teacher",
    "make_parser",
    "parse",
    "parse_words",
    "read_config",
    "restore",
    "sample_pictures",
    "scorer_of",
    "train",
    "train_parser",
]

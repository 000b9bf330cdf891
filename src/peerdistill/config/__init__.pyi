from .command_line import parse, read_config, train_parser
from .config import Config
from .options import CohortConfig, TeacherConfig
from .parser import make_parser, parse_words

__all__ = [
    "CohortConfig",
    "Config",
    "TeacherConfig",
    "make_parser",
    "parse",
    "parse_words",
    "read_config",
    "train_parser",
]

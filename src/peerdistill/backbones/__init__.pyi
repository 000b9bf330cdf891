from .backbone import Backbone, PretrainedInput, Stage
from .catalog import architecture, build, has_source, is_user_code, names, pretrained_input, resolve, title
from .registry import register

__all__ = [
    "Backbone",
    "PretrainedInput",
    "Stage",
    "architecture",
    "build",
    "has_source",
    "is_user_code",
    "names",
    "pretrained_input",
    "register",
    "resolve",
    "title",
]

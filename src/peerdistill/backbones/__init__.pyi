from .backbone import Backbone, PretrainedInput, Stage
from .catalog import build, is_user_code, names, pretrained_input, resolve
from .registry import register

__all__ = [
    "Backbone",
    "PretrainedInput",
    "Stage",
    "build",
    "is_user_code",
    "names",
    "pretrained_input",
    "register",
    "resolve",
]

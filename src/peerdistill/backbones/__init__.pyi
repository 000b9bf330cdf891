from .backbone import Backbone, Stage
from .catalog import build, is_user_code, names, resolve
from .registry import register

__all__ = ["Backbone", "Stage", "build", "is_user_code", "names", "register", "resolve"]

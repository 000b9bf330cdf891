from .backbone import Backbone, Stage
from .catalog import build, is_own_code, names, resolve

__all__ = ["Backbone", "Stage", "build", "is_own_code", "names", "resolve"]

from .backbone import Backbone, Stage
from .catalog import build, names, resolve

__all__ = ["Backbone", "Stage", "build", "names", "resolve"]

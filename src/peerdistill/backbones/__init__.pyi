from .backbone import Backbone, Stage
from .catalog import build, names

__all__ = ["Backbone", "Stage", "build", "names"]

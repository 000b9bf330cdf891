from .classes import class_runs
from .compare import Comparison, compare
from .episodes import episode_runs
from .measured import Measured

__all__ = [
    "Comparison",
    "Measured",
    "class_runs",
    "compare",
    "episode_runs",
]

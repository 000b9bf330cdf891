"""Methods: short compositions of terms with the weights of their papers, by function and by name.

A method is a function of a cohort and the training labels; its keyword options are the method's options on the
command line and in configuration files. Each is one file of this folder, which holds the function and its card, and is
found by being there. Importing this room does not import PyTorch.
"""

import re
from typing import TYPE_CHECKING

from peerdistill.methods.card import MethodCard
from peerdistill.methods.catalog import METHODS, build, find, is_known, names, options_of, ranges_of_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from peerdistill.terms.method import Method

    def __getattr__(name: str) -> Callable[..., Method]:
        """Return the function of a method, such as ``methods.mcl_okd``."""
        ...


__all__ = ["METHODS", "MethodCard", "build", "find", "is_known", "names", "options_of", "ranges_of_options"]

# ``methods.mcl_okd`` is the function, not the file of the same name that holds it.
globals().update({re.sub(r"\W", "_", name): card.build for name, card in METHODS.items()})

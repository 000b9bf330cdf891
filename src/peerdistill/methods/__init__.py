"""Methods: compositions of terms with the weights of their papers.

A method is a function of a cohort and the training labels. Its keyword arguments are the method's options on the
command line and in configuration files. Each file of this folder that defines ``CARD`` is a method; there is no list of
them. Importing this package does not import PyTorch.
"""

import re
from typing import TYPE_CHECKING

from peerdistill.methods.card import MethodCard
from peerdistill.methods.catalog import (
    METHODS,
    build,
    build_ensemble,
    find,
    is_known,
    names,
    options_of,
    ranges_of_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from peerdistill.terms.method import Method

    def __getattr__(name: str) -> Callable[..., Method]:
        """Return the function of a method, such as ``methods.mcl_okd``."""
        ...


__all__ = [
    "METHODS",
    "MethodCard",
    "build",
    "build_ensemble",
    "find",
    "is_known",
    "names",
    "options_of",
    "ranges_of_options",
]

# ``methods.mcl_okd`` is the function, not the submodule of the same name.
globals().update({re.sub(r"\W", "_", name): card.build for name, card in METHODS.items()})

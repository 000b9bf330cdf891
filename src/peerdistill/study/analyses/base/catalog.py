"""Analyses by name. Importing this file does not import PyTorch."""

import pkgutil
import sys
from importlib import import_module

from peerdistill.errors import UserError, unknown_name
from peerdistill.study.analyses.base.analysis import Analysis
from peerdistill.user_code import user_object

FORM = "package.module:ANALYSIS"
"""How an analysis of the user's own code is named."""


def discover() -> dict[str, Analysis]:
    """Return the analyses of all files in ``study/analyses`` by name."""
    package = sys.modules["peerdistill.study.analyses"]
    files = [file.name for file in pkgutil.iter_modules(package.__path__) if not file.ispkg]
    modules = [import_module(f"{package.__name__}.{name}") for name in files]
    found = [module.ANALYSIS for module in modules if hasattr(module, "ANALYSIS")]
    return {analysis.name: analysis for analysis in sorted(found, key=lambda one: one.name)}


def listed() -> str:
    """Return the names of the analyses with a few words about each, for help."""
    return ", ".join([*(f"{analysis.name} ({analysis.help})" for analysis in discover().values()), FORM])


def find(name: str) -> Analysis:
    """Return an analysis.

    Args:
        name: A name, or ``package.module:ANALYSIS`` for an :class:`Analysis` of the user's own code.

    Raises:
        UserError: The name is unknown, or the module cannot be imported or does not hold an analysis of that name.
    """
    known = discover()
    if name in known:
        return known[name]
    if ":" not in name:
        raise unknown_name("analysis", name, [*known, FORM])
    found = user_object(name, "analysis")
    if not isinstance(found, Analysis):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise UserError(f"analysis {name} must be a peerdistill.study.analyses.Analysis, found {what}")
    return found

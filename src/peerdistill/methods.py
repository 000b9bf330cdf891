"""Methods by name: short compositions of terms with the paper's weights.

A method is a function of a cohort and the training labels; its keyword options are the method's options on the
command line and in configuration files. Importing this module does not import PyTorch.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from peerdistill import terms
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms import Method


def baseline(cohort: "Cohort", train_labels: "Tensor") -> "Method":
    """Peers that learn from labels alone (eq. 1): nothing is distilled."""
    return terms.Method([terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy())])


def mcl_okd(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: float = 3.0,
    ensemble: float = 1.0,
    beta: float = 0.025,
    contrast: ContrastOptions = ContrastOptions(),  # noqa: B008 (frozen)
) -> "Method":
    """Multi-view contrastive learning for online knowledge distillation (eq. 12).

    Args:
        cohort: At least two peers.
        train_labels: Label of every training sample (N,), in the order of the samples' indices.
        temperature: Temperature T that softens the leader and the ensemble.
        ensemble: Weight of the ensemble as the leader's teacher (0: left out).
        beta: Weight of the contrast (0: left out).
        contrast: The contrast's own options.

    Raises:
        UserError: For fewer than two peers or an option out of range.
    """
    if cohort.peers < 2:
        raise UserError(f"mcl-okd needs at least 2 peers, found {cohort.peers}")
    pairs = terms.MultiViewContrast(cohort.peers, cohort.width, train_labels, contrast) if beta else None
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble", ensemble, terms.EnsembleToLeader(temperature)),
            *([terms.Weighted("contrast", beta, pairs)] if pairs else []),
        ]
    )


_METHODS: dict[str, Callable[..., "Method"]] = {"baseline": baseline, "mcl-okd": mcl_okd}


def names() -> tuple[str, ...]:
    """Return every name that :func:`build` takes."""
    return tuple(_METHODS)


def find(name: str) -> Callable[..., "Method"]:
    """Return the function behind a method's name.

    Raises:
        UserError: For an unknown name.
    """
    if name not in _METHODS:
        raise unknown_name("method", name, _METHODS)
    return _METHODS[name]


def options_of(name: str) -> list[inspect.Parameter]:
    """Return a method's keyword options: names, types and defaults."""
    parameters = inspect.signature(find(name)).parameters.values()
    return [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def build(name: str, cohort: "Cohort", *, train_labels: "Tensor", **options: Any) -> "Method":
    """Return the method called ``name`` for ``cohort``.

    Args:
        name: One of :func:`names`.
        cohort: The peers.
        train_labels: Label of every training sample (N,).
        **options: The method's own keyword options.

    Raises:
        UserError: For an unknown method or option, or what the method itself refuses.
    """
    method = find(name)
    allowed = [option.name for option in options_of(name)]
    for option in options:
        if not allowed:
            raise UserError(f"{name} has no options, found '{option}'")
        if option not in allowed:
            raise unknown_name(f"option of {name}", option, allowed)
    return method(cohort, train_labels, **options)

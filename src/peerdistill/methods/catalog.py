"""Methods by name. Each file of this folder that defines ``CARD`` is a method."""

import inspect
import pkgutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from peerdistill import terms
from peerdistill.errors import PeerdistillWarning, UserError, unknown_name
from peerdistill.methods import own_code
from peerdistill.methods.card import MethodCard
from peerdistill.ranges import Range, check_values, range_of
from peerdistill.user_code import FORM

if TYPE_CHECKING:
    from torch import Tensor, nn

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method
    from peerdistill.terms.teacher import Teacher


def discover() -> dict[str, MethodCard]:
    """Return the cards of all files in this folder: first methods without a teacher, then those with one, sorted."""
    cards = {}
    for file in pkgutil.iter_modules(sys.modules["peerdistill.methods"].__path__):
        card = getattr(import_module(f"{__package__}.{file.name}"), "CARD", None)
        if card is not None:
            cards[card.name or file.name.replace("_", "-")] = card
    return dict(sorted(cards.items(), key=lambda named: (named[1].needs_teacher, named[0])))


METHODS: dict[str, MethodCard] = discover()
"""The built-in methods by name: first those without a teacher, then those with one, in alphabetical order."""


def names() -> tuple[str, ...]:
    """Return the names of the built-in methods, in the order of ``METHODS``."""
    return tuple(METHODS)


def find(name: str) -> MethodCard:
    """Return the description of a method.

    Args:
        name: One of :func:`names`, or ``package.module:function`` for a method in your own code.

    Raises:
        UserError: For an unknown name, or a function that can't be imported or has the wrong signature.

    Example:
        >>> from peerdistill import methods
        >>> card = methods.find("mcl-okd")
        >>> card.loss
        'sum_m CE(z_m) + KL_T(mean_m z_m -> z_M) + beta L_contrast'
        >>> [option.name for option in card.options]
        ['temperature', 'ensemble', 'ramp', 'beta', 'contrast']
    """
    if name in METHODS:
        return METHODS[name]
    if ":" in name:
        return own_code.card_of(name)
    raise unknown_name("method", name, [*METHODS, FORM])


def is_known(name: str) -> bool:
    """Tell whether :func:`find` finds a method. A function of the user's own code may not be importable here."""
    try:
        find(name)
    except UserError:
        return False
    return True


def options_of(name: str) -> list[inspect.Parameter]:
    """Return names, types and defaults of a method's options."""
    return find(name).options


def ranges_of_options(name: str) -> dict[str, Range]:
    """Return the ranges of those options of a method whose types have one. Groups of options check their own."""
    stated = {option.name: range_of(option.annotation) for option in options_of(name)}
    return {option: found for option, found in stated.items() if found is not None}


def build(
    name: str,
    cohort: "Cohort",
    *,
    train_labels: "Tensor",
    teacher: "Teacher | None" = None,
    teacher_weight: float = 1.0,
    teacher_temperature: float = 4.0,
    label_smoothing: float = 0.0,
    class_weights: "Sequence[float] | None" = None,
    **options: Any,
) -> "Method":
    """Return the method called ``name`` for ``cohort``.

    Args:
        name: A name that :func:`find` accepts.
        cohort: The peers.
        train_labels: Label of each training sample (N,).
        teacher: A trained network. If the method has no teacher of its own, a term is added ("+KD") through which only
            the leader learns from it.
        teacher_weight: Weight of that term.
        teacher_temperature: Temperature T of that term.
        label_smoothing: Share of each target of the cross-entropies that is spread evenly over all classes.
        class_weights: Weight of each class in the cross-entropies; None: all are 1.
        **options: Options of the method.

    Raises:
        UserError: For an unknown method or option, a value out of range, a missing teacher or too few peers.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort, methods
        >>> cohort = Cohort("resnet20", classes=10, peers=4)
        >>> method = methods.build("dml", cohort, train_labels=torch.arange(10), temperature=3.0)
        >>> list(method.terms)
        ['cross_entropy', 'mutual']
    """
    card = find(name)
    _check_options(name, options)
    if card.needs_teacher and teacher is None:
        raise UserError(f"{name} needs a teacher: give a run or an exported .safetensors file")
    own_teacher = [teacher] if card.needs_teacher else []
    method = _checked(name, card.build(cohort, train_labels, *own_teacher, **options))
    if teacher is not None and not card.needs_teacher:
        term = terms.Weighted("teacher", teacher_weight, lambda: terms.TeacherToLeader(teacher_temperature))
        method.add_teacher(teacher, term)
    if label_smoothing or class_weights is not None:  # a method in the user's code may have a criterion of its own
        method.criterion = terms.Criterion(label_smoothing, class_weights)
    return method


def build_ensemble(name: str, cohort: "Cohort", **options: Any) -> "nn.Module":
    """Return the ensemble of the method called ``name``, without its terms; for a method that needs no teacher.

    Args:
        name: As for :func:`find`.
        cohort: The peers.
        **options: Keyword options of the method.

    Raises:
        UserError: As :func:`build`.
    """
    import torch

    # A method outside the package may create its terms at once: few labels keep its memory bank small.
    labels = torch.arange(2 * cohort.classes) % cohort.classes
    with warnings.catch_warnings(), terms.without_terms():
        warnings.simplefilter("ignore", PeerdistillWarning)  # training has shown them
        return build(name, cohort, train_labels=labels, **options).ensemble


def _checked(name: str, method: Any) -> "Method":
    """Return the result of a method's function if it is a method. A user's function may return anything."""
    if not isinstance(method, terms.Method):
        raise UserError(f"{name} must return a peerdistill.terms.Method, found a {type(method).__name__}")
    return method


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    allowed = [option.name for option in options_of(name)]
    for option in options:
        if not allowed:
            raise UserError(f"{name} has no options, found '{option}'")
        if option not in allowed:
            raise unknown_name(f"option of {name}", option, allowed)
    check_values(options, ranges_of_options(name))

"""The description of a method, available without building it."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from peerdistill.errors import UserError

if TYPE_CHECKING:
    from peerdistill.terms.method import Method


@dataclass(frozen=True)
class MethodCard:
    """The description of a method.

    Attributes:
        build: The function ``(cohort, train_labels)``, or ``(cohort, train_labels, teacher)``, that returns a
            :class:`peerdistill.terms.Method`. Its keyword-only arguments are the method's options.
        name: Name on the command line; by default the name of the file with "-" for "_".
        loss: The loss in one line.
        choose: When to choose the method: the end of a sentence that starts with "Choose it if".
        paper: Authors, venue and year.
        sharings: Sharings that the method supports. The first is its default.
        trains: Modules that are trained besides the peers.
        ensemble: How the ensemble is formed.
        deployed: The network that is deployed.
        differs: Differences from the paper; empty if there are none.
        cohort: Default options of the cohort, such as ``{"peers": 1}``.
        branches: Source of the stage at which the branches part, which ``cohort`` holds; empty for one student.
        uses_logits: Whether terms other than the cross-entropy use class logits. If not, few-shot peers have no
            classifier.

    Example:
        >>> from peerdistill.methods import MethodCard
        >>> from peerdistill.terms import CrossEntropy, Method, Weighted
        >>> def only_labels(cohort, train_labels, *, weight: float = 1.0):
        ...     return Method([Weighted("cross_entropy", weight, CrossEntropy())])
        >>> card = MethodCard(only_labels, loss="weight * sum_m CE(z_m)", sharings=("network", "branch"))
        >>> card.needs_teacher, [option.name for option in card.options]
        (False, ['weight'])
    """

    build: Callable[..., "Method"]
    name: str | None = None
    loss: str = "-"
    choose: str = ""
    paper: str = "-"
    sharings: tuple[str, ...] = ("branch", "network", "tree")
    trains: str = "nothing"
    ensemble: str = "mean of logits"
    deployed: str = "the leader, which is the last peer"
    differs: str = ""
    cohort: Mapping[str, Any] = field(default_factory=dict)
    branches: str = ""
    uses_logits: bool = True

    @property
    def documentation(self) -> str:
        """The docstring of the function, also if it is a partial function."""
        return inspect.getdoc(self._function) or ""

    @property
    def _function(self) -> Callable[..., "Method"]:
        return self.build.func if isinstance(self.build, partial) else self.build

    @property
    def needs_teacher(self) -> bool:
        """Whether the function takes a teacher as its third positional argument."""
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(self.build).parameters.values()
        return sum(parameter.kind in positional for parameter in parameters) > 2

    @property
    def options(self) -> list[inspect.Parameter]:
        """Names, types and defaults of the method's options."""
        parameters = inspect.signature(self.build).parameters.values()
        options = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        return [option.replace(annotation=self._type_of(option)) for option in options]

    def _type_of(self, option: inspect.Parameter) -> Any:
        """Return the type of an option: its annotation, which may be a string, or the type of its default."""
        if option.annotation is option.empty:
            return type(option.default)
        if not isinstance(option.annotation, str):
            return option.annotation
        function = inspect.unwrap(self._function)
        # Not inspect.signature(eval_str=True): annotations of other parameters may exist only for type checkers.
        try:
            return eval(option.annotation, getattr(sys.modules.get(function.__module__), "__dict__", {}))
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            raise UserError(
                f"unknown type '{option.annotation}' of option '{option.name}' of {function.__name__}: import the type"
            ) from error

"""What is known of a method before one is built."""

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
    """What is known of a method without building it.

    Attributes:
        build: The function of cohort and training labels, and of a teacher where the method needs one. Its keyword
            options are the method's options.
        name: Its name on the command line; by default that of the file, with "-" for "_".
        loss: The loss in one line.
        paper: Where it comes from.
        sharings: Sharings that it can be trained in; the first is its own choice.
        trains: What is trained besides the peers.
        ensemble: What its ensemble is.
        deployed: What is taken out of it in the end.
        differs: How it differs from its paper, beyond names of options; empty where it does not.
        cohort: Further options that it chooses for its cohort.
        branches: Which code's choice of the last shared stage its branches follow; ``cohort`` holds that choice. Empty
            where it trains one student.
        uses_logits: Whether its terms besides the cross-entropy read class logits; where they do not, few-shot peers
            do without a classifier.

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
    paper: str = "-"
    sharings: tuple[str, ...] = ("branch", "network", "tree")
    trains: str = "nothing"
    ensemble: str = "mean of logits"
    deployed: str = "the leader alone, the last peer"
    differs: str = ""
    cohort: Mapping[str, Any] = field(default_factory=dict)
    branches: str = ""
    uses_logits: bool = True

    @property
    def documentation(self) -> str:
        """The docstring of the function, also where some of its options are already given."""
        return inspect.getdoc(self._function) or ""

    @property
    def _function(self) -> Callable[..., "Method"]:
        return self.build.func if isinstance(self.build, partial) else self.build

    @property
    def needs_teacher(self) -> bool:
        """Whether its function takes a teacher, the third of its arguments."""
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(self.build).parameters.values()
        return sum(parameter.kind in positional for parameter in parameters) > 2

    @property
    def options(self) -> list[inspect.Parameter]:
        """Its keyword options: names, types and defaults."""
        parameters = inspect.signature(self.build).parameters.values()
        options = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        return [option.replace(annotation=self._type_of(option)) for option in options]

    def _type_of(self, option: inspect.Parameter) -> Any:
        """Return an option's type, also where it is written as a string or left to the default."""
        if option.annotation is option.empty:
            return type(option.default)
        if not isinstance(option.annotation, str):
            return option.annotation
        function = inspect.unwrap(self._function)
        # By itself: the types of the other parameters may be known to type checkers only.
        try:
            return eval(option.annotation, getattr(sys.modules.get(function.__module__), "__dict__", {}))
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            raise UserError(
                f"the type '{option.annotation}' of the option '{option.name}' of {function.__name__} is not known"
            ) from error

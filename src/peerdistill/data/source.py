"""What a data source is: one file in ``data/sources/`` or ``fewshot/sources/``. Free of PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from peerdistill.user_code import FORM

Options = TypeVar("Options")

Takes = Literal["name", "files", "hub", "function", "path"]


@dataclass(frozen=True)
class LoadRequest(Generic[Options]):
    """What ``Source.load`` is called with.

    Attributes:
        config: The data options: ``DataConfig`` for ``train``, ``FewShotData`` for ``fewshot``.
        download: Whether to download data that does not exist yet.
        skip_unreadable: Whether to leave out unreadable pictures, and count them, instead of raising an error.
        given: The content of the npz files that ``config`` names, a ``GivenImages``; they need not exist yet.
    """

    config: Options
    download: bool = False
    skip_unreadable: bool = False
    given: Any = None


@dataclass(frozen=True)
class Source:
    """A kind of data that DATA on the command line can name.

    To add one, add a file that holds ``SOURCE`` to ``data/sources/`` (for ``train``) or ``fewshot/sources/`` (for
    ``fewshot``); nothing else lists it. To keep ``--help`` fast, such a file imports PyTorch and NumPy
    only inside its functions.

    Attributes:
        name: What the user writes as DATA. With ``takes="files"`` or "hub", the prefix before the colon.
        help: What it is, in a few words for ``--help``.
        recipe: Name of the recipe that sets the default options.
        load: Returns a ``Dataset`` (for ``train``) or a ``ClassSource`` (for ``fewshot``) for a ``LoadRequest``.
        takes: What DATA looks like: the ``name`` itself, ``name:FILE,FILE,...``, ``name:NAME`` (hub: a name there, or a
            folder), ``package.module:function`` or a path.
        suffixes: For paths: suffixes of the files that are allowed besides folders.
        options: Data options that apply only to this source and to others that name them.
        of_pictures: Whether the images are pictures of any size, so that the options that resize them apply.
        load_for_evaluation: Returns images to evaluate a network on that was trained on other data, for the data
            options, the class names of the network and a split; and the name of the split or "all". None: the images
            are those of the test or validation split that ``load`` returns.

    Example:
        >>> source = Source("shapes", "coloured shapes, 32 x 32", recipe="arrays", load=lambda request: None)
        >>> source.form
        'shapes'
    """

    name: str
    help: str
    recipe: str
    load: Callable[[LoadRequest[Any]], Any]
    takes: Takes = "name"
    suffixes: tuple[str, ...] = ()
    options: frozenset[str] = frozenset()
    of_pictures: bool = False
    load_for_evaluation: Callable[..., Any] | None = None

    @property
    def form(self) -> str:
        """What DATA looks like, for help and error messages."""
        forms = {
            "name": self.name,
            "files": f"{self.name}:FILE,FILE,...",
            "hub": f"{self.name}:NAME",
            "function": FORM,
            "path": self.help,
        }
        return forms[self.takes]

"""What an export format consists of. Importing this file imports neither PyTorch nor NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerdistill.deploy.what import ENSEMBLE, LEADER, file_stem
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.scorers import Scorer

    Opened = tuple[Scorer, LeaderCard]
    """The scorer and the card of an exported file."""

_RUN_CONFIG = "config.yaml"


class ExportError(UserError):
    """The leader could not be written, or its file does not reproduce it. No file was left behind."""


@dataclass(frozen=True)
class Leader:
    """A trained leader, and the pictures that its export needs.

    Attributes:
        network: Maps normalised images to logits (or to features if the card names no classes). It is in float32, on
            the CPU and in evaluation mode.
        card: Input size, normalisation and class names.
        pictures: Pictures on which the file is compared with the network, (samples, channels, height, width), uint8.
        outputs: Outputs of the network for ``pictures``, (samples, outputs).
        calibration: Training pictures for formats with ``needs_calibration``, shaped like ``pictures``; else None.
        facts: What is known about the training, for a model card: values by name, possibly nested.
    """

    network: "nn.Module"
    card: "LeaderCard"
    pictures: "Tensor"
    outputs: "Tensor"
    calibration: "Tensor | None" = None
    facts: "Mapping[str, Any]" = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """How closely an exported file reproduces the leader.

    Attributes:
        largest_difference: Largest absolute difference of an output, over all outputs and pictures.
        agreement: Fraction of the pictures, 0..1, for which file and leader predict the same class. For an encoder: for
            which the same other picture has the nearest features.
        summary: The result in words.
        details: Further figures of this format; they become keys of the report.
    """

    largest_difference: float
    agreement: float
    summary: str
    details: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """One export format.

    Attributes:
        name: Value of ``--format``.
        help: Short description, for ``--help`` and tables.
        suffix: Suffix of the files, by which ``predict`` recognises the format. Formats of the package that share a
            suffix also share ``open``. Empty for folders.
        write: Writes a leader to a file. The file lies in a temporary folder, in which other files may be left.
        open: Returns the scorer and the card of a file.
        verify: Compares a written file with the leader and raises ExportError if it does not pass. None: every output
            must be equal within a small tolerance (``deploy.verification.reproduces``).
        open_with_threads: As ``open``, with a number of threads. Formats that do not run in PyTorch have it, and
            ``bench`` measures these formats.
        stem: Name of the file without suffix, if the user gives none. It starts with "leader", which stands for the
            name of the exported network.
        needs_calibration: Whether ``write`` needs training pictures.
        stock: Whether the file holds the weights of one stock network, which an ensemble is not.
        samples: Number of pictures that the command line compares.
        folder_with: The file by which a folder of this format is recognised, for formats that write a folder (of any
            name, without folders in it).
        runs_code: Whether opening a file may run code that it holds. Such a file is opened only if the user trusts it.
        usage: What to do with a written file, with "{path}" in place of its name; ``export`` prints it.

    Example:
        >>> from peerdistill.deploy import formats
        >>> formats.find("onnx").suffix
        '.onnx'
    """

    name: str
    help: str
    suffix: str
    write: Callable[[Leader, Path], None]
    open: "Callable[[Path], Opened]"
    verify: Callable[[Leader, Path], Check] | None = None
    open_with_threads: "Callable[[Path, int], Opened] | None" = None
    stem: str = "leader"
    needs_calibration: bool = False
    stock: bool = False
    samples: int = 128
    folder_with: str | None = None
    runs_code: bool = False
    usage: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it writes a folder."""
        return self.folder_with is not None

    def recognises(self, path: Path) -> bool:
        """Return whether a path has the suffix of this format or, of a folder, holds the file that marks it.

        The folder of a run is none, whatever it holds.
        """
        if self.folder_with is None:
            return path.suffix == self.suffix
        return (path / self.folder_with).is_file() and not (path / _RUN_CONFIG).is_file()

    def check_holds(self, what: str | None) -> None:
        """Raise UserError if a file of this format cannot hold a network of a run, such as "ensemble"."""
        if self.stock and what == ENSEMBLE:
            raise UserError(f"{self.name} holds one stock network, and an ensemble is not one: choose onnx or pt2")

    @property
    def default_name(self) -> str:
        """Name of the leader's file if the user gives none."""
        return self.default_name_of(LEADER)

    def default_name_of(self, what: str) -> str:
        """Return the name of the file of another network of a run, such as "ensemble"."""
        return self.stem.replace(LEADER, file_stem(what), 1) + self.suffix

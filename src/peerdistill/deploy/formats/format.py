"""What an export format consists of. Importing this file imports neither PyTorch nor NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from peerdistill.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.scorers import Scorer

    Opened = tuple[Scorer, LeaderCard]
    """The scorer and the card of an exported file."""


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
    """

    network: "nn.Module"
    card: "LeaderCard"
    pictures: "Tensor"
    outputs: "Tensor"
    calibration: "Tensor | None" = None


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
            suffix also share ``open``.
        write: Writes a leader to a file. The file lies in a temporary folder, in which other files may be left.
        open: Returns the scorer and the card of a file.
        verify: Compares a written file with the leader and raises ExportError if it does not pass. None: every output
            must be equal within a small tolerance (``deploy.verification.reproduces``).
        open_with_threads: As ``open``, with a number of threads. Formats that do not run in PyTorch have it, and
            ``bench-leader`` measures these formats.
        stem: Name of the file without suffix, if the user gives none.
        needs_calibration: Whether ``write`` needs training pictures.
        samples: Number of pictures that the command line compares.

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
    samples: int = 128

    @property
    def default_name(self) -> str:
        """Name of the file if the user gives none."""
        return self.stem + self.suffix

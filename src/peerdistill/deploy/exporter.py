"""Export of the leader. A file gets its name only after it has been verified."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from peerdistill.deploy import formats
from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.destination import check_destination, drafted, files_of
from peerdistill.deploy.formats import ExportError, Format, Leader
from peerdistill.deploy.leader import not_finite
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import torch_scorer
from peerdistill.deploy.verification import outputs_of, reproduces
from peerdistill.errors import UserError


@dataclass(frozen=True)
class ExportReport:
    """The written file, and how closely it reproduces the leader.

    Attributes:
        path: The file.
        format: Name of its format.
        bytes: Its size.
        samples: Number of pictures on which file and leader were compared.
        largest_difference: Largest absolute difference of an output, over all outputs and pictures. For "int8": from
            the float32 graph.
        agreement: Fraction of the pictures, 0..1, for which both predict the same class. For an encoder: for which the
            same other picture has the nearest features.
        summary: The last two in words.
        details: Further figures of the format. For "int8": ``float_bytes`` (size of the float32 graph) and
            ``calibrated_on`` (number of training pictures).
    """

    path: Path
    format: str
    bytes: int
    samples: int
    largest_difference: float
    agreement: float
    summary: str
    details: Mapping[str, int | float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        figures = {name: value for name, value in vars(self).items() if name not in ("summary", "details")}
        return {**figures, "path": str(self.path), **self.details}


def export(
    leader: nn.Module,
    card: LeaderCard,
    output: Path,
    *,
    format: Format | str,
    pictures: UInt8[Tensor, "samples channels height width"],
    calibration: UInt8[Tensor, "calibration channels height width"] | None = None,
    facts: Mapping[str, Any] | None = None,
    force: bool = False,
) -> ExportReport:
    """Write the leader to ``output`` after verifying the file.

    The file is written under a temporary name, opened as ``predict`` does it, and run on all ``pictures``. Its format
    decides whether it passes; see :func:`peerdistill.deploy.verification.reproduces`.

    Args:
        leader: Maps normalised images to logits, or to features if the card names no classes. It is copied and not
            changed.
        card: Input size, normalisation and class names.
        output: The file to write; it must have the suffix of the format.
        format: A format, the name of a format of the package ("safetensors", "onnx", "pt2", "int8", "timm", "web"), or
            ``package.module:FORMAT``.
        pictures: Real pictures of the card's size, at least 2.
        calibration: Training pictures of the card's size, at least 2. "int8" needs them.
        facts: What is known about the training: values by name, possibly nested. "timm" writes them to its model card.
        force: Replace an existing file.

    Raises:
        UserError: If the format is unknown, the output exists or has another suffix, or pictures do not fit the card.
        ExportError: If the leader cannot be written in this format, or the file does not reproduce it. An existing
            file is then left unchanged.
        WriteError: If the system cannot write, for example because the disk is full.
    """
    output = Path(output)
    if isinstance(format, str):
        format = formats.find(format)
    check_destination(output, format, force=force)
    format.check_holds(card.what)
    _check_pictures(pictures, card, "the check of an export")
    if format.needs_calibration:
        if calibration is None:
            raise UserError(f"export as {format.name} needs training pictures for calibration: pass calibration")
        _check_pictures(calibration, card, "calibration")
    network = copy.deepcopy(leader).to("cpu", torch.float32).eval()
    if name := not_finite(network):
        raise ExportError(f"{card.name} cannot be exported: '{name}' has values that are not finite")
    outputs = outputs_of(
        torch_scorer(Normalised(network, card.mean, card.std, card.temperature)), card, pictures, card.name
    )
    exported = Leader(network, card, pictures, outputs, calibration if format.needs_calibration else None, facts or {})
    with drafted(output) as draft:
        format.write(exported, draft)
        check = format.verify(exported, draft) if format.verify else reproduces(exported, draft, format.open)
        size = sum(file.stat().st_size for file in files_of(draft))
    return ExportReport(output, format.name, size, len(pictures), **vars(check))


def _check_pictures(pictures: Tensor, card: LeaderCard, use: str) -> None:
    """Raise UserError unless there are at least 2 pictures of the card's shape."""
    if len(pictures) < 2:
        raise UserError(f"{use} needs at least 2 pictures, found {len(pictures)}")
    expected = (card.channels, card.image_size, card.image_size)
    if pictures.shape[1:] != expected:
        raise UserError(f"{use} needs pictures of shape {expected}, found {tuple(pictures.shape[1:])}")

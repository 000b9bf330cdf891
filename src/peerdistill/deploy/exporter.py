"""Export of the leader: no file appears under its name before it has reproduced the leader."""

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, open_model, torch_scorer
from peerdistill.deploy.writers import WRITERS, ExportError, Format
from peerdistill.errors import UserError, unknown_name

# Largest difference of logits that passes, relative to the largest logit (or to 1, where all are smaller).
_TOLERANCE = 1e-3
_BATCH = 64


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how near it is to the leader.

    Attributes:
        path: The file.
        format: "safetensors", "onnx" or "pt2".
        bytes: Its size.
        samples: Pictures on which file and leader were compared.
        largest_difference: Of any logit (of an encoder, any feature) of any picture.
        agreement: Share of the pictures for which both name the same class, 0..1; of an encoder, for which the same
            other picture has the nearest features.
    """

    path: Path
    format: Format
    bytes: int
    samples: int
    largest_difference: float
    agreement: float


def export(
    leader: nn.Module,
    card: LeaderCard,
    output: Path,
    *,
    format: Format,
    pictures: UInt8[Tensor, "samples channels height width"],
    force: bool = False,
) -> ExportReport:
    """Write the leader to ``output`` and verify the file before it appears there.

    The file is written under a temporary name, read back as a stranger would read it, and run on all
    ``pictures``. It passes when no logit differs by more than 0.001 of the largest one and the predicted
    class is the leader's wherever the leader's two highest logits are further apart than that. An encoder passes by
    its features alone.

    Args:
        leader: Maps normalised images to logits, or to features where the card names no class. It is copied and stays
            as it is.
        card: What the file says of the leader.
        output: The file to write; its suffix names the format.
        format: "safetensors" (weights under the network's own names), "onnx" or "pt2" (graphs that take
            images in 0..1, normalise themselves and leave the batch size free).
        pictures: Real pictures of the card's size, at least 2.
        force: Replace an existing file, once the new one has passed.

    Raises:
        UserError: For an unknown format, an existing or misnamed output, or pictures that don't fit the card.
        ExportError: If the leader can't be written in this format, or the file does not reproduce it. Nothing
            is left then but what was there before.
    """
    check_request(output, format, force)
    check_pictures(pictures, card)
    leader = copy.deepcopy(leader).to("cpu", torch.float32).eval()
    with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        draft = Path(folder) / f"leader.{format}"
        WRITERS[format](leader, card, draft)
        of_leader = torch_scorer(Normalised(leader, card.mean, card.std))
        expected, found = outputs_of_both(of_leader, card, draft, pictures.cpu())
        difference, agreement = _compare(expected, found, card)
        size = draft.stat().st_size
        publish(draft, output)
    return ExportReport(output, format, size, len(pictures), difference, agreement)


def check_request(output: Path, format: str, force: bool) -> None:
    """Raise UserError for an unknown format, or an output that is misnamed, in no folder, or there already."""
    if format not in WRITERS:
        raise unknown_name("export format", format, WRITERS)
    if output.suffix != f".{format}":
        raise UserError(f"{output} must end in .{format}: predict tells the format by the suffix")
    if not output.parent.is_dir():
        raise UserError(f"{output} can't be written: the folder {output.parent} does not exist")
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file")
    if output.exists() and not force:
        raise UserError(f"{output} exists: choose another name, or replace it with --force")


def check_pictures(pictures: Tensor, card: LeaderCard) -> None:
    """Raise UserError where a file can't be checked on these pictures."""
    if len(pictures) < 2:
        raise UserError(f"the check of an export needs at least 2 pictures, found {len(pictures)}")
    expected = (card.channels, card.image_size, card.image_size)
    if pictures.shape[1:] != expected:
        raise UserError(f"the check of an export needs pictures of shape {expected}, found {tuple(pictures.shape[1:])}")


@torch.inference_mode()
def outputs_of_both(
    of_leader: Scorer, card: LeaderCard, draft: Path, pictures: UInt8[Tensor, "samples channels height width"]
) -> tuple[Float[Tensor, "samples outputs"], Float[Tensor, "samples outputs"]]:
    """Return the logits, or features, of the leader and of its file.

    Raises:
        ExportError: If the file does not run or holds another card.
    """
    expected, found = [], []
    try:
        score, card_read = open_model(draft)
        # One picture alone, then many: the batch size must really be free.
        for batch in (pictures[:1], *pictures[1:].split(_BATCH)):
            images = (batch.float() / 255).numpy()
            expected.append(torch.from_numpy(of_leader(images)))
            found.append(torch.from_numpy(score(images)))
    except Exception as error:  # whatever a runtime raises, the file is of no use
        raise ExportError(f"the exported {draft.suffix} file does not run: {shorten(str(error), 200)}") from error
    if card_read != card:
        raise ExportError(f"the exported {draft.suffix} file holds another card: {card_read}, not {card}")
    outputs = torch.cat(expected)
    if not card.is_encoder and outputs.shape[1] != len(card.class_names):
        raise ExportError(
            f"the leader gives {outputs.shape[1]} logits and its card names {len(card.class_names)} classes"
        )
    return outputs, torch.cat(found)


def _compare(
    expected: Float[Tensor, "samples outputs"], found: Float[Tensor, "samples outputs"], card: LeaderCard
) -> tuple[float, float]:
    """Return the largest difference and the share of equal answers, or refuse."""
    difference = (expected - found).abs().max().item()
    tolerance = _TOLERANCE * max(1.0, expected.abs().max().item())
    same = answers(expected, card) == answers(found, card)
    agreement = same.float().mean().item()
    # Written so that NaN does not pass.
    if not (difference <= tolerance and bool(same[_clear(expected, tolerance, card)].all())):
        raise ExportError(
            f"the exported file does not reproduce the leader: largest difference of {card.output} {difference:.3g} "
            f"(allowed {tolerance:.3g}), {card.answer} on {agreement:.2%} of {len(same)} pictures"
        )
    return difference, agreement


def answers(outputs: Float[Tensor, "samples outputs"], card: LeaderCard) -> Int[Tensor, " samples"]:
    """Return the class of each picture, or which other picture has the nearest features."""
    if card.is_encoder:
        return torch.cdist(outputs, outputs).fill_diagonal_(torch.inf).argmin(1)
    return outputs.argmax(1)


def _clear(outputs: Float[Tensor, "samples outputs"], tolerance: float, card: LeaderCard) -> Bool[Tensor, " samples"]:
    """Return which pictures have a class that a difference of ``tolerance`` can't change."""
    if card.is_encoder:
        return torch.zeros(len(outputs), dtype=torch.bool)
    first, second = outputs.topk(2, dim=1).values.unbind(1)
    return first - second > tolerance


def publish(draft: Path, output: Path) -> None:
    """Put the draft under its name, whole or not at all, even if the machine stops meanwhile."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(output)

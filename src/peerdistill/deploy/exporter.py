"""Export of the leader: no file appears under its name before it has reproduced the leader."""

import copy
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from peerdistill import backbones
from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.destination import ExportError, Format, check_destination, drafted
from peerdistill.deploy.leader import load_leader, not_finite
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, check_outputs, open_model, torch_scorer
from peerdistill.deploy.writers import WRITERS
from peerdistill.errors import UserError

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
        WriteError: If the disk is full or the like.
    """
    output = Path(output)
    check_destination(output, format, force=force)
    check_pictures(pictures, card)
    leader = copy.deepcopy(leader).to("cpu", torch.float32).eval()
    if name := not_finite(leader):
        raise ExportError(f"the leader can't be exported: '{name}' holds values that are not finite")
    expected = outputs_of(torch_scorer(Normalised(leader, card.mean, card.std)), card, pictures, "the leader")
    with drafted(output) as draft:
        WRITERS[format](leader, card, draft)
        found = outputs_of_file(draft, card, pictures, own_network=_emptied(leader, card, format))
        difference, agreement = _compare(expected, found, card)
        size = draft.stat().st_size
    return ExportReport(output, format, size, len(pictures), difference, agreement)


def check_pictures(pictures: Tensor, card: LeaderCard) -> None:
    """Raise UserError where a file can't be checked on these pictures."""
    if len(pictures) < 2:
        raise UserError(f"the check of an export needs at least 2 pictures, found {len(pictures)}")
    expected = (card.channels, card.image_size, card.image_size)
    if pictures.shape[1:] != expected:
        raise UserError(f"the check of an export needs pictures of shape {expected}, found {tuple(pictures.shape[1:])}")


def outputs_of(
    score: Scorer, card: LeaderCard, pictures: UInt8[Tensor, "samples channels height width"], name: str
) -> Float[Tensor, "samples outputs"]:
    """Return the logits, or features, of pictures.

    Raises:
        ExportError: If they can't be computed, are not finite, or not those that the card describes.
    """
    outputs = []
    # One picture alone, then many: the batch size must really be free.
    for batch in (pictures[:1], *pictures[1:].split(_BATCH)):
        images = (batch.cpu().float() / 255).numpy()
        try:
            found = score(images)
            check_outputs(found, len(images), card, name)
        except UserError as error:
            raise ExportError(str(error)) from error
        except Exception as error:  # the code of any network is run
            raise ExportError(f"{name} can't score pictures: {shorten(str(error), 200)}") from error
        outputs.append(torch.from_numpy(found))
    return torch.cat(outputs)


def outputs_of_file(
    draft: Path,
    card: LeaderCard,
    pictures: UInt8[Tensor, "samples channels height width"],
    *,
    own_network: nn.Module | None = None,
) -> Float[Tensor, "samples outputs"]:
    """Return the logits, or features, of an exported leader, read back as a stranger would read it.

    Args:
        draft: The file.
        card: The leader's.
        pictures: What it is run on.
        own_network: Takes the weights of a file that names a network of the user's own code.

    Raises:
        ExportError: If the file does not run or holds another card.
    """
    try:
        if own_network is None:
            score, card_read = open_model(draft)
        else:
            leader, card_read = load_leader(draft, own_network)
            score = torch_scorer(leader)
        outputs = outputs_of(score, card, pictures, f"the exported {draft.suffix} file")
    except OSError:
        raise
    except Exception as error:  # whatever a runtime raises, the file is of no use
        raise ExportError(f"the exported {draft.suffix} file does not run: {shorten(str(error), 200)}") from error
    if card_read != card:
        raise ExportError(f"the exported {draft.suffix} file holds another card: {card_read}, not {card}")
    return outputs


def _emptied(leader: nn.Module, card: LeaderCard, format: Format) -> nn.Module | None:
    """Return a copy of a network of the user's own code with all weights zero, None for networks that have a name.

    Safetensors files of own code are checked with it: what the file lacks is not in the copy either.
    """
    if format != "safetensors" or not backbones.is_user_code(card.backbone):
        return None
    network = copy.deepcopy(leader)
    for tensor in network.state_dict().values():
        tensor.zero_()
    return network


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

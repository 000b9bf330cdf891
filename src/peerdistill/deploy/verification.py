"""Whether an exported file reproduces the leader."""

from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.formats.format import Check, ExportError, Leader
from peerdistill.deploy.scorers import Scorer, check_outputs
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from peerdistill.deploy.formats.format import Opened

# Largest difference of outputs that passes, relative to the largest output (or to 1 if all outputs are smaller).
_TOLERANCE = 1e-3
_BATCH = 64


def reproduces(leader: Leader, path: Path, open: "Callable[[Path], Opened]") -> Check:
    """Check that a file has the leader's card and its outputs.

    The file passes if no output differs by more than 0.001 of the largest output, and the predicted class is the
    leader's for every picture whose two highest logits differ by more than that. Features are compared by value alone.

    Args:
        leader: The leader.
        path: The exported file.
        open: Opens the file.

    Raises:
        ExportError: If the file does not pass.
    """
    expected, card = leader.outputs, leader.card
    found = outputs_of_file(leader, path, open)
    difference = (expected - found).abs().max().item()
    tolerance = _TOLERANCE * max(1.0, expected.abs().max().item())
    same = _answers(expected, card) == _answers(found, card)
    share = same.float().mean().item()
    # NaN does not pass this condition.
    if not (difference <= tolerance and bool(same[_clear(expected, tolerance, card)].all())):
        raise ExportError(
            f"the exported file does not reproduce {card.name}: largest difference of {card.output} {difference:.3g} "
            f"(allowed {tolerance:.3g}), {card.same_answer} on {share:.2%} of {len(same)} pictures"
        )
    summary = f"largest difference of {card.output} {difference:.2g}, {card.same_answer} on {share:.2%}"
    return Check(difference, share, summary)


def outputs_of_file(leader: Leader, path: Path, open: "Callable[[Path], Opened]") -> Float[Tensor, "samples outputs"]:
    """Return the outputs of an exported file for the leader's pictures.

    Raises:
        ExportError: If the file does not run or has another card than the leader.
    """
    try:
        score, card = open(path)
        outputs = outputs_of(score, card, leader.pictures, f"the exported {path.suffix} file")
    except OSError:
        raise
    except Exception as error:  # a runtime may raise anything
        raise ExportError(f"the exported {path.suffix} file does not run: {shorten(str(error), 200)}") from error
    if card != leader.card:
        raise ExportError(f"the exported {path.suffix} file has another card: {card}, not {leader.card}")
    return outputs


def outputs_of(
    score: Scorer, card: LeaderCard, pictures: UInt8[Tensor, "samples channels height width"], name: str
) -> Float[Tensor, "samples outputs"]:
    """Return the outputs of a scorer for pictures.

    Raises:
        ExportError: If they cannot be computed, are not finite, or do not match the card.
    """
    outputs = []
    # A batch of one picture first, to check that the batch size is free.
    for batch in (pictures[:1], *pictures[1:].split(_BATCH)):
        images = (batch.cpu().float() / 255).numpy()
        try:
            found = score(images)
            check_outputs(found, len(images), card, name)
        except UserError as error:
            raise ExportError(str(error)) from error
        except Exception as error:  # the network may be any code
            raise ExportError(f"{name} cannot score pictures: {shorten(str(error), 200)}") from error
        outputs.append(torch.from_numpy(found))
    return torch.cat(outputs)


def agreement(
    expected: Float[Tensor, "samples outputs"], found: Float[Tensor, "samples outputs"], card: LeaderCard
) -> float:
    """Return the fraction of pictures with the same answer, 0..1; see :class:`Check`."""
    return (_answers(expected, card) == _answers(found, card)).float().mean().item()


def _answers(outputs: Float[Tensor, "samples outputs"], card: LeaderCard) -> Int[Tensor, " samples"]:
    """Return the class of each picture or, for an encoder, the other picture with the nearest features."""
    if card.is_encoder:
        return torch.cdist(outputs, outputs).fill_diagonal_(torch.inf).argmin(1)
    return outputs.argmax(1)


def _clear(outputs: Float[Tensor, "samples outputs"], tolerance: float, card: LeaderCard) -> Bool[Tensor, " samples"]:
    """Return for which pictures a difference of ``tolerance`` cannot change the class."""
    if card.is_encoder:
        return torch.zeros(len(outputs), dtype=torch.bool)
    first, second = outputs.topk(2, dim=1).values.unbind(1)
    return first - second > tolerance

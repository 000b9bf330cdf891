"""The forms of a deployed network that can be timed: in PyTorch, and in every format with a runtime of its own.

Axes: B batch.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from peerdistill import deploy
from peerdistill.deploy import ExportError, LeaderCard
from peerdistill.deploy.formats import FORMATS, Format
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, torch_scorer
from peerdistill.deploy.what import ENSEMBLE
from peerdistill.errors import PeerdistillWarning
from peerdistill.study.timing import Name, median_seconds

BATCHES = (1, 64)
"""Batch sizes that are timed."""

_BURST_S = 0.05
_ENOUGH_S = 120.0


@dataclass(frozen=True)
class Form:
    """A network that is ready to predict.

    Attributes:
        score: Maps images in 0..1 to outputs.
        bytes: Size of its file.
    """

    score: Scorer
    bytes: int


def make_forms(
    network: nn.Module,
    card: LeaderCard,
    folder: Path,
    *,
    calibration: UInt8[Tensor, "calibration channels height width"],
    pictures: UInt8[Tensor, "samples channels height width"],
) -> dict[str, Form]:
    """Return a network in PyTorch and in every format that has its own runtime, all with PyTorch's number of threads.

    "pytorch" is the eager network with the size of its safetensors file. An ensemble has no such file; its form for
    PyTorch is the program in a "pt2" file. A network that cannot be quantised has no "int8", which a warning says.

    Args:
        network: Maps normalised images to logits or features.
        card: Its card.
        folder: Folder for the files.
        calibration: Training pictures.
        pictures: Pictures on which the files are verified.

    Raises:
        ExportError: If the network cannot be exported in one of the other formats.
    """
    threads = torch.get_num_threads()

    def file_of(format: Format) -> Path:
        file = folder / format.default_name_of(card.what or "leader")
        deploy.export(network, card, file, format=format, pictures=pictures, calibration=calibration)
        return file

    if card.what == ENSEMBLE:
        file = file_of(FORMATS["pt2"])
        forms = {"pt2": Form(FORMATS["pt2"].open(file)[0], file.stat().st_size)}
    else:
        eager = torch_scorer(Normalised(network, card.mean, card.std).eval())
        forms = {"pytorch": Form(eager, file_of(FORMATS["safetensors"]).stat().st_size)}
    for name, format in FORMATS.items():
        if format.open_with_threads is None:
            continue
        try:
            file = file_of(format)
        except ExportError as error:
            if not format.needs_calibration:
                raise
            warnings.warn(f"{card.name} is not measured as {name}: {error}", PeerdistillWarning, stacklevel=2)
            continue
        forms[name] = Form(format.open_with_threads(file, threads)[0], file.stat().st_size)
    return forms


def form_latencies(
    forms: Mapping[Name, Form],
    pictures: UInt8[Tensor, "samples channels height width"],
    batch: int,
    repeats: int,
) -> dict[Name, float]:
    """Return the median seconds of each form for a batch of the pictures, which are repeated to fill the batch.

    Large networks get fewer than ``repeats`` rounds: no round starts after two minutes.
    """
    images = (pictures[torch.arange(batch) % len(pictures)].float() / 255).numpy()

    def call_of(score: Scorer) -> Callable[[], Float32[np.ndarray, "batch outputs"]]:
        return lambda: score(images)

    calls = {name: call_of(form.score) for name, form in forms.items()}
    return median_seconds(calls, repeats, burst_s=_BURST_S, enough_s=_ENOUGH_S)

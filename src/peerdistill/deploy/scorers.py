"""From a model file to a function that scores pictures: one small opener for each format.

PyTorch is imported only by the formats that need it.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from peerdistill.deploy.card import LeaderCard
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from torch import nn

Scorer = Callable[
    [Float32[np.ndarray, "batch channels height width"]],
    Float32[np.ndarray, "batch classes"],
]
"""Maps images whose pixels are in 0..1 to logits, an encoder to features; normalises them itself."""


def open_model(path: Path) -> tuple[Scorer, LeaderCard]:
    """Return the scorer and the card of an exported leader; the suffix says which format it is.

    A ``.pt2`` file is a program, and ``torch.export.load`` trusts what it finds in one: open only those whose
    origin you know. ``.onnx`` and ``.safetensors`` files are plain data.

    Raises:
        UserError: If the file is missing, of another suffix, broken, or was not exported by this package.
    """
    allowed = ", ".join(_OPENERS)
    if path.suffix not in _OPENERS:
        raise UserError(f"{path} is no model: found suffix '{path.suffix}', allowed are {allowed}")
    if not path.is_file():
        raise UserError(f"{path} is no model: no such file")
    try:
        return _OPENERS[path.suffix](path)
    except UserError:
        raise
    except Exception as error:  # the three readers have no narrower base class in common
        reason = shorten(str(error), 200)
        raise UserError(f"{path} is no model: not a readable {path.suffix} file ({reason})") from error


def open_onnx(path: Path, threads: int = 0) -> tuple[Scorer, LeaderCard]:
    """Return the scorer and the card of an ONNX file.

    Args:
        path: The file.
        threads: That share the work of an operator; 0: one for each core.

    Raises:
        UserError: For a file that was not exported by this package.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    card = LeaderCard.from_metadata(session.get_modelmeta().custom_metadata_map, path)

    def score(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch classes"]:
        return np.asarray(session.run([card.output], {"images": images})[0])

    return score, card


def _open_safetensors(path: Path) -> tuple[Scorer, LeaderCard]:
    from peerdistill.deploy.leader import load_leader
    from peerdistill.deploy.normalised import Normalised

    leader, card = load_leader(path)
    return torch_scorer(Normalised(leader, card.mean, card.std)), card


def _open_pt2(path: Path) -> tuple[Scorer, LeaderCard]:
    import torch

    # The card first, straight from the archive: a file that is not ours is refused before it is unpickled.
    with zipfile.ZipFile(path) as archive:
        extra = {name.partition("/extra/")[2]: name for name in archive.namelist() if "/extra/" in name}
        metadata = {key: archive.read(name).decode() for key, name in extra.items()}
    card = LeaderCard.from_metadata(metadata, path)
    return torch_scorer(torch.export.load(path).module()), card


def torch_scorer(network: "nn.Module") -> Scorer:
    """Return the scorer of a network that normalises its images itself."""
    import torch

    def score(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch classes"]:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return score


_OPENERS: dict[str, Callable[[Path], tuple[Scorer, LeaderCard]]] = {
    ".onnx": open_onnx,
    ".safetensors": _open_safetensors,
    ".pt2": _open_pt2,
}

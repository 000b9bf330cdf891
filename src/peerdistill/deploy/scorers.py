"""From a model file to a function that scores pictures: one small opener for each format.

PyTorch is imported only by the formats that need it.
"""

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from peerdistill.deploy.card import LeaderCard
from peerdistill.errors import UserError

if TYPE_CHECKING:
    import onnxruntime
    from torch import nn

_INPUT = "images"
_FATAL = 4  # onnxruntime's own log, which it writes to stderr: what matters of it is raised as well

Scorer = Callable[
    [Float32[np.ndarray, "batch channels height width"]],
    Float32[np.ndarray, "batch classes"],
]
"""Maps images whose pixels are in 0..1 to logits, an encoder to features; normalises them itself."""


def open_model(path: Path | str) -> tuple[Scorer, LeaderCard]:
    """Return the scorer and the card of an exported leader; the suffix says which format it is.

    The scorer raises UserError where the file can't score images, or where its outputs are not those of its card.

    A ``.pt2`` file is a program, and ``torch.export.load`` trusts what it finds in one: open only those whose
    origin you know. ``.onnx`` and ``.safetensors`` files are plain data.

    Raises:
        UserError: If the file is missing, of another suffix, broken, was not exported by this package, or is not what
            its card describes.
    """
    path = Path(path)
    allowed = ", ".join(_OPENERS)
    if path.suffix not in _OPENERS:
        raise UserError(f"{path} is no model: found suffix '{path.suffix}', allowed are {allowed}")
    if not path.is_file():
        raise UserError(f"{path} is no model: {'it is no file' if path.exists() else 'no such file'}")
    try:
        score, card = _OPENERS[path.suffix](path)
    except UserError:
        raise
    except Exception as error:  # the three readers have no narrower base class in common
        raise UserError(f"{path} is no model: not a readable {path.suffix} file ({_reason(error)})") from error
    return _guarded(score, card, path), card


def _guarded(score: Scorer, card: LeaderCard, path: Path) -> Scorer:
    """Return the scorer of a file, whose errors are sentences."""

    def guarded(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch outputs"]:
        try:
            outputs = score(images)
        except Exception as error:  # a file decides what is computed: any runtime error is possible
            raise UserError(f"{path} can't score pictures: {_reason(error)}") from error
        check_outputs(outputs, len(images), card, str(path))
        return outputs.astype(np.float32, copy=False)

    return guarded


def check_outputs(outputs: Any, pictures: int, card: LeaderCard, name: str) -> None:
    """Raise UserError unless ``outputs`` are the finite numbers that a leader with this card gives of ``pictures``.

    Args:
        outputs: What a scorer returned.
        pictures: Number of images it was given.
        card: The leader's.
        name: Of the leader, for the message.
    """
    if not (isinstance(outputs, np.ndarray) and np.issubdtype(outputs.dtype, np.floating)):
        found = getattr(outputs, "dtype", type(outputs).__name__)
        raise UserError(f"{name} must give {card.output} as floating-point numbers, found {found}")
    if outputs.ndim != 2 or len(outputs) != pictures:
        raise UserError(
            f"{name} must give one row of {card.output} for each of {pictures} pictures, found shape {outputs.shape}"
        )
    if not card.is_encoder and outputs.shape[1] != len(card.class_names):
        raise UserError(f"{name} gives {outputs.shape[1]} logits and its card names {len(card.class_names)} classes")
    finite = np.isfinite(outputs).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{name} gives {card.output} that are not finite for {pictures - finite.sum()} of {pictures} pictures"
        )


def open_onnx(path: Path, threads: int = 0) -> tuple[Scorer, LeaderCard]:
    """Return the scorer and the card of an ONNX file.

    The file must hold the whole model: weights in files beside it are not read.

    Args:
        path: The file.
        threads: That share the work of an operator; 0: one for each core.

    Raises:
        UserError: For a file that was not exported by this package, or whose graph is not what its card describes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    # A model says in which files its weights lie. Nothing lies below this "folder".
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    card = LeaderCard.from_metadata(session.get_modelmeta().custom_metadata_map, path)
    _check_graph(session, card, path)

    def score(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch outputs"]:
        return np.asarray(session.run([card.output], {_INPUT: images})[0])

    return score, card


def _check_graph(session: "onnxruntime.InferenceSession", card: LeaderCard, path: Path) -> None:
    """Raise UserError unless the graph has the ends that its card describes. Nothing is allocated before that."""
    width = None if card.is_encoder else len(card.class_names)
    _check_end("input", session.get_inputs(), _INPUT, (card.channels, card.image_size, card.image_size), path)
    _check_end("output", session.get_outputs(), card.output, (width,), path)


def _check_end(kind: str, found: Sequence[Any], name: str, sizes: tuple[int | None, ...], path: Path) -> None:
    """Raise UserError unless ``found`` is one float32 tensor of a free batch size and ``sizes``, None for any."""
    if [end.name for end in found] != [name]:
        names = ", ".join(repr(end.name) for end in found) or "none"
        raise UserError(f"{path} must have one {kind} '{name}', found {names}")
    (end,) = found
    # What is no whole number is left free by the graph, and checked on what it computes.
    fixed = [size if isinstance(size, int) else None for size in end.shape]
    fits = (
        len(fixed) == 1 + len(sizes)
        and fixed[0] is None
        and all(size in (None, wanted) or wanted is None for size, wanted in zip(fixed[1:], sizes, strict=True))
    )
    if end.type != "tensor(float)" or not fits:
        wanted = ", ".join(str(size or "free") for size in (None, *sizes))
        raise UserError(
            f"{path} does not fit its leader card: {kind} '{name}' must be tensor(float) of shape ({wanted}), "
            f"found {end.type} of shape ({', '.join(map(str, end.shape))})"
        )


def _open_safetensors(path: Path) -> tuple[Scorer, LeaderCard]:
    from peerdistill.deploy.leader import load_leader

    leader, card = load_leader(path)
    return torch_scorer(leader), card


def _open_pt2(path: Path) -> tuple[Scorer, LeaderCard]:
    import torch

    # The card first, straight from the archive: a file that is not ours is refused before it is unpickled.
    with zipfile.ZipFile(path) as archive:
        _check_stored(archive, path)
        extra = {name.partition("/extra/")[2]: name for name in archive.namelist() if "/extra/" in name}
        metadata = {key: archive.read(name).decode() for key, name in extra.items()}
    card = LeaderCard.from_metadata(metadata, path)
    return torch_scorer(torch.export.load(path).module()), card


def _check_stored(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise UserError for an archive that unpacks to more than the file holds; PyTorch compresses nothing."""
    parts = archive.infolist()
    unpacked, size = sum(part.file_size for part in parts), path.stat().st_size
    if unpacked > size or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise UserError(
            f"{path} is no model: its parts take {unpacked} bytes in a file of {size}, PyTorch writes them uncompressed"
        )


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


def _reason(error: Exception) -> str:
    """Return a library's complaint in one short line; many runtimes write several."""
    return shorten(str(error) or type(error).__name__, 200)

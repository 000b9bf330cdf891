"""The leader as an ONNX graph in float32, from images in 0..1 to logits or features."""

import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from peerdistill.deploy.formats.format import ExportError, Format, Leader
from peerdistill.errors import UserError

if TYPE_CHECKING:
    import onnxruntime

    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.formats.format import Opened

INPUT = "images"
"""Name of the graph's input."""

ONNX_LIMIT = 2**31 - 2**20
"""Most bytes of weights: an ONNX file is one protobuf message of less than 2 GiB, of which the graph needs a part."""

# The opset of PyTorch's exporter; any other opset needs a version conversion.
_OPSET = 18
_FATAL = 4  # onnxruntime logs to stderr what it raises as well


def write_onnx(leader: Leader, path: Path) -> None:
    """Write a graph from "images" to "logits" or "features" with the weights inside, and the card as metadata.

    Raises:
        ExportError: If the leader cannot be traced or converted, or is too large for one ONNX file.
    """
    import torch

    from peerdistill.deploy.tracing import traced

    network, card = leader.network, leader.card
    weight_bytes = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))  # shared ones once
    if weight_bytes > ONNX_LIMIT:
        raise ExportError(
            f"the weights of {card.name} take {weight_bytes / 2**30:.2f} GiB and one ONNX file holds less than "
            f"{ONNX_LIMIT / 2**30:.2f}: export it as safetensors or pt2"
        )
    program = traced(network, card)
    try:
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[INPUT],
            output_names=[card.output],
            dynamic_shapes=({0: "batch"},),
            opset_version=_OPSET,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        # The exporter's own message mostly explains how to report it.
        cause = error.__cause__ or error
        raise ExportError(f"{card.name} cannot be converted to ONNX: {shorten(str(cause), 200)}") from error
    assert converted is not None
    converted.model.metadata_props.update(card.to_metadata())
    path.write_bytes(converted.model_proto.SerializeToString())


def open_onnx(path: Path, threads: int = 0) -> "Opened":
    """Return the scorer and the card of a file.

    The file must hold the whole model: weights in other files are not read.

    Args:
        path: The file.
        threads: Number of threads for one operator; 0: one for each core.

    Raises:
        UserError: If the file was not exported by this package, or its graph does not match its card.
    """
    import numpy as np
    import onnxruntime
    from jaxtyping import Float32

    from peerdistill.deploy.card import LeaderCard

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    # A model may name files that hold its weights. This "folder" contains no files.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    card = LeaderCard.from_metadata(session.get_modelmeta().custom_metadata_map, path)
    _check_graph(session, card, path)

    def score(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch outputs"]:
        return np.asarray(session.run([card.output], {INPUT: images})[0])

    return score, card


def _check_graph(session: "onnxruntime.InferenceSession", card: "LeaderCard", path: Path) -> None:
    """Raise UserError unless input and output of the graph match the card. Nothing is allocated before this check."""
    width = None if card.is_encoder else len(card.class_names)
    _check_value("input", session.get_inputs(), INPUT, (card.channels, card.image_size, card.image_size), path)
    _check_value("output", session.get_outputs(), card.output, (width,), path)


def _check_value(kind: str, found: Sequence[Any], name: str, sizes: tuple[int | None, ...], path: Path) -> None:
    """Raise UserError unless ``found`` is one float32 tensor with a free batch size and ``sizes`` (None: any size)."""
    if [value.name for value in found] != [name]:
        names = ", ".join(repr(value.name) for value in found) or "none"
        raise UserError(f"{path} must have one {kind} '{name}', found {names}")
    (value,) = found
    # Sizes that are not integers are free in the graph; they are checked on the computed outputs.
    fixed = [size if isinstance(size, int) else None for size in value.shape]
    fits = (
        len(fixed) == 1 + len(sizes)
        and fixed[0] is None
        and all(size in (None, wanted) or wanted is None for size, wanted in zip(fixed[1:], sizes, strict=True))
    )
    if value.type != "tensor(float)" or not fits:
        wanted = ", ".join(str(size or "free") for size in (None, *sizes))
        raise UserError(
            f"{path} does not match its leader card: {kind} '{name}' must be tensor(float) of shape ({wanted}), "
            f"found {value.type} of shape ({', '.join(map(str, value.shape))})"
        )


FORMAT = Format(
    name="onnx",
    help="ONNX float32",
    suffix=".onnx",
    write=write_onnx,
    open=open_onnx,
    open_with_threads=open_onnx,
)

"""From a leader to a file: one small writer for each format."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from textwrap import shorten

import torch
from safetensors.torch import save
from torch import nn

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.destination import ExportError, Format
from peerdistill.deploy.normalised import Normalised

# The opset that PyTorch's exporter itself speaks: any other goes through a version conversion.
_OPSET = 18

# An ONNX file is one protobuf message, and those end at 2 GiB; a mebibyte is left for the graph itself.
_ONNX_LIMIT = 2**31 - 2**20


def write_safetensors(leader: nn.Module, card: LeaderCard, path: Path) -> None:
    """Write the ``state_dict`` under its own names, the card as metadata."""
    weights = {name: tensor.contiguous() for name, tensor in leader.state_dict().items()}
    # Not `save_file`: its files can be read by their owner alone, whatever the umask.
    path.write_bytes(save(weights, metadata=card.to_metadata()))


def write_onnx(leader: nn.Module, card: LeaderCard, path: Path) -> None:
    """Write a graph from "images" in 0..1 to "logits" or "features", weights inside, the card as metadata.

    Raises:
        ExportError: If the leader can't be traced or converted, or is too large for one ONNX file.
    """
    weight_bytes = sum(tensor.nbytes for tensor in leader.state_dict().values())
    if weight_bytes > _ONNX_LIMIT:
        raise ExportError(
            f"the leader's weights take {weight_bytes / 2**30:.2f} GiB and one ONNX file holds less than "
            f"{_ONNX_LIMIT / 2**30:.2f}: export it as safetensors or pt2"
        )
    program = _traced(leader, card)
    try:
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=[card.output],
            dynamic_shapes=({0: "batch"},),
            opset_version=_OPSET,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        # The exporter's own message is mostly advice on how to report it.
        cause = error.__cause__ or error
        raise ExportError(f"the leader has no ONNX form: {shorten(str(cause), 200)}") from error
    assert converted is not None
    converted.model.metadata_props.update(card.to_metadata())
    path.write_bytes(converted.model_proto.SerializeToString())


def write_pt2(leader: nn.Module, card: LeaderCard, path: Path) -> None:
    """Write the program that ``torch.export`` traces, from images in 0..1 to logits or features.

    The card goes with it as extra files.

    Raises:
        ExportError: If the leader can't be traced.
    """
    program = BytesIO()
    torch.export.save(_traced(leader, card), program, extra_files=card.to_metadata())
    # Not straight to the file: PyTorch's own writer ends the process where the disk is full.
    path.write_bytes(program.getbuffer())


def _traced(leader: nn.Module, card: LeaderCard) -> torch.export.ExportedProgram:
    example = torch.zeros(2, card.channels, card.image_size, card.image_size)
    batch = torch.export.Dim("batch")
    try:
        program = torch.export.export(
            Normalised(leader, card.mean, card.std).eval(), (example,), dynamic_shapes=({0: batch},)
        )
    except Exception as error:  # tracing runs the leader's own code, which may raise anything
        raise ExportError(f"the leader can't be traced with a free batch size: {shorten(str(error), 200)}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine have no place in a deployed file
    return program


WRITERS: dict[Format, Callable[[nn.Module, LeaderCard, Path], None]] = {
    "safetensors": write_safetensors,
    "onnx": write_onnx,
    "pt2": write_pt2,
}

"""The leader as a program of ``torch.export``, from which graphs are written."""

from textwrap import shorten

import torch
from torch import nn

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.formats.format import ExportError
from peerdistill.deploy.normalised import Normalised


def traced(network: nn.Module, card: LeaderCard) -> torch.export.ExportedProgram:
    """Return the program of a network, from images in 0..1 to its outputs, with a free batch size.

    Raises:
        ExportError: If the network cannot be traced.
    """
    example = torch.zeros(2, card.channels, card.image_size, card.image_size)
    batch = torch.export.Dim("batch")
    try:
        program = torch.export.export(
            Normalised(network, card.mean, card.std, card.temperature).eval(), (example,), dynamic_shapes=({0: batch},)
        )
    except Exception as error:  # tracing runs the network's own code, which may raise anything
        raise ExportError(f"{card.name} cannot be traced with a free batch size: {shorten(str(error), 200)}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # a deployed file must not contain paths of this machine
    return program

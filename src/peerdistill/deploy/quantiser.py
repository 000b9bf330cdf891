"""A leader whose products are of 8-bit integers: static quantisation of its ONNX file by onnxruntime."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import onnx
from jaxtyping import Float32, UInt8
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from peerdistill.deploy.destination import ExportError, check_destination, drafted
from peerdistill.deploy.exporter import (
    ExportReport,
    answers,
    check_pictures,
    outputs_of,
    outputs_of_file,
)
from peerdistill.deploy.scorers import open_model
from peerdistill.errors import UserError

_BATCH = 64
# What quantisation makes fast and, where one factor are weights, small.
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Computed in float all the same: 8 bits would only make them less exact.
_NORMALISATIONS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization")


@dataclass(frozen=True)
class QuantisedReport(ExportReport):
    """What was written, and how near it is to the float file.

    Attributes:
        float_bytes: Size of the float file.
        calibrated_on: Training pictures that set the ranges.
    """

    float_bytes: int
    calibrated_on: int


def quantise(
    exact: Path,
    output: Path,
    *,
    calibration: UInt8[Tensor, "calibration channels height width"],
    pictures: UInt8[Tensor, "samples channels height width"],
    force: bool = False,
) -> QuantisedReport:
    """Write the int8 form of an exported ONNX leader: the same input, output and card.

    Weights are symmetric with a scale for each output channel, activations asymmetric with one for each tensor, from
    the least and greatest value found on ``calibration`` ("QDQ" format). The normalisation and a classifier's last
    layer stay in float, which costs next to nothing; so do BatchNorm that was not folded into a convolution, products
    of two activations and, of networks with LayerNorm, everything but the layers with weights.

    The file is written under a temporary name and run on all ``pictures``. No tolerance decides: an 8-bit leader
    answers otherwise for some pictures, and the report says for how many.

    Args:
        exact: A float ``.onnx`` file written by :func:`peerdistill.deploy.export`.
        output: The file to write; it ends in ``.onnx``.
        calibration: Training pictures of the card's size, at least 2.
        pictures: Real pictures on which both files are compared, at least 2.
        force: Replace an existing file.

    Raises:
        UserError: For an ``exact`` that is no such file, an existing or misnamed output, or pictures that don't fit
            the card.
        ExportError: If the leader has no int8 form, or the file does not run or gives what is not finite. Nothing is
            left then but what was there before.
        WriteError: If the disk is full or the like.
    """
    exact, output = Path(exact), Path(output)
    check_destination(output, "onnx", force=force)
    if exact.suffix != ".onnx":
        raise UserError(f"{exact} can't be quantised: it must be an exported .onnx file")
    of_exact, card = open_model(exact)
    for checked in (calibration, pictures):
        check_pictures(checked, card)
    expected = outputs_of(of_exact, card, pictures, str(exact))
    with drafted(output) as draft:
        _write(exact, draft, calibration.cpu(), last_in_float=not card.is_encoder)
        found = outputs_of_file(draft, card, pictures)
        difference = (expected - found).abs().max().item()
        agreement = (answers(expected, card) == answers(found, card)).float().mean().item()
        size = draft.stat().st_size
    sizes = {"float_bytes": exact.stat().st_size, "calibrated_on": len(calibration)}
    return QuantisedReport(output, "onnx", size, len(pictures), difference, agreement, **sizes)


def _write(
    exact: Path, draft: Path, calibration: UInt8[Tensor, "samples channels height width"], *, last_in_float: bool
) -> None:
    prepared = draft.with_name("prepared.onnx")
    logging_before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the quantiser logs advice and tracebacks of what it raises as well
    try:
        # Shapes of everything in between; the symbolic kind is for sizes that images of one size do not have.
        quant_pre_process(exact, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        quantize_static(
            prepared,
            draft,
            _Pictures(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=_kept_in_float(model, last_in_float=last_in_float),
            op_types_to_quantize=_quantised_operators(model),
        )
    except (ExportError, OSError):
        raise
    except Exception as error:  # the quantiser has no narrower class of errors
        raise ExportError(f"the leader has no int8 form: {shorten(str(error), 200)}") from error
    finally:
        logging.disable(logging_before)


def _kept_in_float(model: onnx.ModelProto, *, last_in_float: bool) -> list[str]:
    """Return the names of what comes before the first layer, of the last, of attention and of normalisations."""
    nodes = model.graph.node  # in an order in which they can be run
    weights = {weight.name for weight in model.graph.initializer}
    products = [place for place, node in enumerate(nodes) if node.op_type in _PRODUCTS]
    layers = [place for place in products if weights.intersection(nodes[place].input)]
    if not layers:
        raise ExportError("the leader has no int8 form: it has no layer with weights")
    of_activations = set(products).difference(layers)
    normalising = [place for place, node in enumerate(nodes) if node.op_type in _NORMALISATIONS]
    kept = {*range(layers[0]), *of_activations, *normalising, *(layers[-1:] if last_in_float else [])}
    return [nodes[place].name for place in sorted(kept)]


def _quantised_operators(model: onnx.ModelProto) -> list[str] | None:
    """Return the kinds of nodes that take 8-bit integers; None: all that can."""
    # What is added up from block to block of a transformer has few very large values, and LayerNorm brings the small
    # ones back into play: 8 bits for all of them lose what it says. Its products alone are quantised.
    return list(_PRODUCTS) if any(node.op_type == "LayerNormalization" for node in model.graph.node) else None


class _Pictures(CalibrationDataReader):
    """Hands pictures to the quantiser in batches, pixels in 0..1."""

    def __init__(self, pictures: UInt8[Tensor, "samples channels height width"]):
        self._batches = self._in_batches(pictures)

    @staticmethod
    def _in_batches(
        pictures: UInt8[Tensor, "samples channels height width"],
    ) -> Iterator[dict[str, Float32[np.ndarray, "batch channels height width"]]]:
        for batch in pictures.split(_BATCH):
            yield {"images": (batch.float() / 255).numpy()}

    # The base class means None for the end, and does not say so in its type.
    def get_next(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
    ) -> dict[str, Float32[np.ndarray, "batch channels height width"]] | None:
        """Return the next batch by the name of the graph's input, None after the last."""
        return next(self._batches, None)

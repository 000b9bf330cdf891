"""Static quantisation of an ONNX graph to 8-bit integer products, by onnxruntime."""

import logging
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

import numpy as np
import onnx
from jaxtyping import Float32, UInt8
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from peerdistill.deploy.formats.format import ExportError
from peerdistill.deploy.formats.onnx import INPUT

_BATCH = 64
# Operators that quantisation makes faster and, if they have weights, smaller.
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# These stay in float: 8 bits would make them less exact and not faster.
_NORMALISATIONS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization")


def quantise(
    float32: Path,
    output: Path,
    *,
    calibration: UInt8[Tensor, "calibration channels height width"],
    last_in_float: bool,
) -> None:
    """Write the int8 form of an exported ONNX graph, with the same input, output and metadata.

    Weights are symmetric with one scale per output channel. Activations are asymmetric with one scale per tensor, from
    the minimum and maximum over ``calibration`` ("QDQ" format). The normalisation stays in float, as do BatchNorm that
    was not folded into a convolution and products of two activations. In networks with LayerNorm, only the layers with
    weights are quantised.

    Args:
        float32: The exported graph.
        output: The file to write.
        calibration: Training pictures.
        last_in_float: Whether the last layer stays in float; of an ensemble, the last layer of every peer.

    Raises:
        ExportError: If the graph cannot be quantised.
    """
    prepared = output.with_name("prepared.onnx")
    logging_before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the quantiser logs advice, and tracebacks of errors that it raises
    try:
        # Infers shapes; symbolic shape inference is for variable sizes, which images of one size do not have.
        quant_pre_process(float32, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        quantize_static(
            prepared,
            output,
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
        raise ExportError(f"the network cannot be quantised: {shorten(str(error), 200)}") from error
    finally:
        logging.disable(logging_before)


def _kept_in_float(model: onnx.ModelProto, *, last_in_float: bool) -> list[str]:
    """Return the names of the nodes that stay in float."""
    nodes = model.graph.node  # in topological order
    weights = {weight.name for weight in model.graph.initializer}
    products = [place for place, node in enumerate(nodes) if node.op_type in _PRODUCTS]
    layers = [place for place in products if weights.intersection(nodes[place].input)]
    if not layers:
        raise ExportError("the network cannot be quantised: it has no layer with weights")
    of_activations = set(products).difference(layers)
    normalising = [place for place, node in enumerate(nodes) if node.op_type in _NORMALISATIONS]
    kept = {*range(layers[0]), *of_activations, *normalising, *(_last(model, layers) if last_in_float else [])}
    return [nodes[place].name for place in sorted(kept)]


def _last(model: onnx.ModelProto, layers: list[int]) -> list[int]:
    """Return those of ``layers`` whose result no other layer reads, directly or through other nodes."""
    nodes = model.graph.node
    read_later: set[str] = set()  # values that a layer reads, directly or through other nodes
    last = []
    for place in reversed(range(len(nodes))):
        is_layer, is_read = place in layers, bool(read_later.intersection(nodes[place].output))
        if is_layer and not is_read:
            last.append(place)
        if is_layer or is_read:
            read_later.update(nodes[place].input)
    return last


def _quantised_operators(model: onnx.ModelProto) -> list[str] | None:
    """Return the operators to quantise; None: all operators that can be quantised."""
    # The residual stream of a transformer has a few very large values, and LayerNorm rescales the small ones. 8 bits
    # cannot represent both, so only the products are quantised.
    return list(_PRODUCTS) if any(node.op_type == "LayerNormalization" for node in model.graph.node) else None


class _Pictures(CalibrationDataReader):
    """Passes pictures to the quantiser in batches, with pixels in 0..1."""

    def __init__(self, pictures: UInt8[Tensor, "samples channels height width"]):
        self._batches = self._in_batches(pictures)

    @staticmethod
    def _in_batches(
        pictures: UInt8[Tensor, "samples channels height width"],
    ) -> Iterator[dict[str, Float32[np.ndarray, "batch channels height width"]]]:
        for batch in pictures.split(_BATCH):
            yield {INPUT: (batch.float() / 255).numpy()}

    # The base class returns None at the end, but its annotation lacks None.
    def get_next(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
    ) -> dict[str, Float32[np.ndarray, "batch channels height width"]] | None:
        """Return the next batch as an input of the graph, or None after the last batch."""
        return next(self._batches, None)

"""The leader as an ONNX graph with 8-bit integer products.

``write`` quantises the float32 graph, which it leaves beside the file for ``verify``.
"""

from pathlib import Path

from peerdistill.deploy.formats.format import Check, Format, Leader
from peerdistill.deploy.formats.onnx import open_onnx, write_onnx

_FLOAT32_NAME = "float32.onnx"


def write_int8(leader: Leader, path: Path) -> None:
    """Write the float32 graph and, quantised on the calibration pictures, the int8 graph with the same card.

    Raises:
        ExportError: If the leader cannot be traced, converted or quantised.
    """
    from peerdistill.deploy.quantiser import quantise

    assert leader.calibration is not None
    float32 = path.with_name(_FLOAT32_NAME)
    write_onnx(leader, float32)
    quantise(float32, path, calibration=leader.calibration.cpu(), last_in_float=not leader.card.is_encoder)


def verify_int8(leader: Leader, path: Path) -> Check:
    """Check that the float32 graph reproduces the leader, and compare the int8 graph with it.

    Only the float32 graph has a tolerance: 8-bit integers change the prediction for some pictures. The report says for
    how many.

    Raises:
        ExportError: If the float32 graph does not reproduce the leader, or the int8 graph does not run or gives
            outputs that are not finite.
    """
    from peerdistill.deploy.verification import agreement, outputs_of_file, reproduces

    assert leader.calibration is not None
    float32 = path.with_name(_FLOAT32_NAME)
    reproduces(leader, float32, open_onnx)
    expected, found = (outputs_of_file(leader, file, open_onnx) for file in (float32, path))
    same = agreement(expected, found, leader.card)
    float_bytes = float32.stat().st_size
    return Check(
        largest_difference=(expected - found).abs().max().item(),
        agreement=same,
        summary=f"{leader.card.same_answer} as in float32 ({float_bytes / 1e6:.2f} MB) on {same:.2%}",
        details={"float_bytes": float_bytes, "calibrated_on": len(leader.calibration)},
    )


FORMAT = Format(
    name="int8",
    help="ONNX int8",
    suffix=".onnx",
    stem="leader.int8",
    write=write_int8,
    open=open_onnx,
    open_with_threads=open_onnx,
    verify=verify_int8,
    needs_calibration=True,
    samples=512,  # the report is a fraction of pictures: more pictures make it more precise
)

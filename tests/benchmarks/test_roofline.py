"""The time of operations by hand, and the parts of a step."""

import pytest

from peerdistill.study.cost import Sizes
from peerdistill.study.cost.kernels import Operation


@pytest.fixture
def roofline(benchmark):
    return benchmark("roofline")


@pytest.mark.parametrize(
    ("operation", "microseconds"),
    [
        (Operation("relu_", 1, 0, 3_350_000), 1),  # 3.35 TB/s
        (Operation("mm", 1, 67_000_000, 4), 1),  # 67 TFLOP/s
        (Operation("convolution_backward", 2, 495_000_000, 4), 1),  # 495 TFLOP/s
        (Operation("mm", 1, 67_000_000, 6_700_000), 2),
    ],
)
def test_an_operation_takes_as_long_as_its_bytes_or_its_products(roofline, operation, microseconds):
    assert roofline.least_seconds(operation) == pytest.approx(1e-6 * microseconds)


def test_an_update_reads_and_writes_weights_gradients_and_momenta(roofline):
    assert roofline.fused_sgd(weights=1000, tensors=100) == Operation("_fused_sgd_", 3, 0, 5000)


def test_the_parts_of_a_step_add_up(roofline):
    peers = {"method": "mcl-okd", "peers": 3, "batch_size": 8}
    *parts, step = roofline.rows("three", peers, Sizes(200, 10, image_size=8), "resnet8")
    assert [row["part"] for row in parts] == ["forward", "loss", "contrast", "backward", "optimizer"]
    for name in ("kernels", "gflop", "gbytes", "roofline_ms", "graph_ms", "launch_ms"):
        assert step[name] == pytest.approx(sum(row[name] for row in parts))
    assert step["graph_ms"] >= 1e3 * step["kernels"] * roofline.KERNEL_S
    # 6 pairs of peers score 8 anchors against 200 rows of width 128, and the gradient of that is a second product.
    (contrast,) = [row for row in parts if row["part"] == "contrast"]
    heads = 3 * 2 * 8 * 64 * 128
    assert contrast["gflop"] == pytest.approx((2 * 2 * 6 * 8 * 200 * 128 + heads) / 1e9, rel=0.01)

"""Several processes together compute what one process computes: losses, gradients (through weights), banks, weights."""

import pytest
import torch
from lightning_fabric import Fabric

from peerdistill import methods
from support import steps_together

pytestmark = pytest.mark.own_process

SMALL = {"count": 8, "width": 8}
CASES = {
    **{name: {"name": name, "options": {}} for name in methods.names()},
    **{
        f"mcl-okd {negatives}": {
            "name": "mcl-okd",
            "options": {"beta": 0.5, "contrast": {**SMALL, "negatives": negatives}},
        }
        for negatives in ("own", "shared", "all", "queue")
    },
    "mcl-okd batch": {"name": "mcl-okd", "options": {"contrast": {**SMALL, "normaliser": "batch"}}},
    "mcl-okd softmax": {"name": "mcl-okd", "options": {"contrast": {**SMALL, "objective": "softmax"}}},
    "mcl-okd mixed": {"name": "mcl-okd", "options": {"contrast": SMALL}, "mixed": 3},
    "pcl mixed": {"name": "pcl", "options": {}, "mixed": 3},
    "mcl-okd accumulated": {"name": "mcl-okd", "options": {"contrast": SMALL}, "accumulate": 2},
}


@pytest.fixture(scope="module")
def alone() -> dict[str, dict]:
    fabric = Fabric(accelerator="cpu", devices=1)
    return {case: steps_together.steps(fabric, **options) for case, options in CASES.items()}


@pytest.fixture(scope="module", params=[2, 3])
def together(request, tmp_path_factory) -> list[dict[str, dict]]:
    """What each process of a group computes."""
    folder = tmp_path_factory.mktemp(f"together-{request.param}")
    return steps_together.steps_of_processes(CASES, request.param, folder)


@pytest.mark.parametrize("case", CASES)
def test_as_one_process(alone, together, case):
    for found in together:
        for step, expected in zip(found[case]["losses"], alone[case]["losses"], strict=True):
            assert step.keys() == expected.keys()
            for part in expected:
                assert step[part].item() == pytest.approx(expected[part].item(), rel=1e-8, abs=1e-8)
        for module in ("cohort", "method"):
            assert found[case][module].keys() == alone[case][module].keys()
            for name, expected in alone[case][module].items():
                torch.testing.assert_close(
                    found[case][module][name],
                    expected,
                    rtol=0,
                    atol=1e-8,
                    equal_nan=True,
                    msg=lambda text, at=name: f"{at}: {text}",
                )

"""Several processes together compute what one process computes: losses, gradients (through weights), banks, weights."""

from collections import OrderedDict

import pytest
import torch
from lightning_fabric import Fabric
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.backbones import Backbone, Stage
from peerdistill.contrast import DealtRows
from peerdistill.shares import Share
from peerdistill.training.parallel import synchronise_batch_norm
from support import steps_together

pytestmark = pytest.mark.own_process

SMALL = {"count": 8, "width": 8}
SHARDED = {
    **{f"mcl-okd {negatives}": {"negatives": negatives, "count": 8} for negatives in ("shared", "all", "queue")},
    "mcl-okd softmax": {"negatives": "shared", "objective": "softmax"},
    "mcl-okd batch": {"negatives": "all", "normaliser": "batch", "views": "core"},
    "crd": {"negatives": "all"},
}
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
    **{
        f"{name} late": {"name": name, "options": {}, "leader_steps": (0, 2), "accumulate": 2, "mixed": 3}
        for name in ("mcl-okd", "one", "pcl")
    },
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
        check_same(found[case], alone[case])


def check_same(found: dict, expected: dict) -> None:
    """Compare losses, weights and other state after some steps."""
    for step, of_one in zip(found["losses"], expected["losses"], strict=True):
        assert step.keys() == of_one.keys()
        for part in of_one:
            assert step[part].item() == pytest.approx(of_one[part].item(), rel=1e-8, abs=1e-8)
    for module in ("cohort", "method"):
        assert found[module].keys() == expected[module].keys()
        for name, of_one in expected[module].items():
            torch.testing.assert_close(
                found[module][name],
                of_one,
                rtol=0,
                atol=1e-8,
                equal_nan=True,
                msg=lambda text, at=name: f"{at}: {text}",
            )


@pytest.mark.parametrize("count", [2, 4])
def test_shards_of_banks_as_one_process(tmp_path, count):
    cases = {
        case: {"name": case.partition(" ")[0], "options": {"contrast": {"count": 8, "width": 8, **contrast}}}
        for case, contrast in SHARDED.items()
    }
    one = {case: steps_together.steps(Fabric(accelerator="cpu", devices=1), **each) for case, each in cases.items()}
    for each in cases.values():
        each["options"]["contrast"]["shard"] = "always"
    together = steps_together.steps_of_processes(cases, count, tmp_path)
    for case, expected in one.items():
        for process, found in enumerate(together):
            held = DealtRows(steps_together.LABELS, Share(process, count)).samples
            rows = expected["method"].items()
            own = {name: part[:, held] if name.endswith("bank.rows") else part for name, part in rows}
            check_same(found[case], {**expected, "method": own})


def test_synchronised_batch_norm_keeps_weights_sharing_and_activations():
    def network() -> nn.Module:
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        layers = {"conv": nn.Conv2d(3, 4, 3), "norm": BatchNormAct2d(4, act_layer=nn.Tanh), "own": nn.BatchNorm2d(4)}
        return nn.Sequential(OrderedDict(**layers, pool=head, fc=nn.Linear(4, 2)))

    stages = (Stage("stem", ("conv", "norm")), Stage("top", ("own", "pool")))
    cohort = Cohort(Backbone("norms", network, stages, "fc", "stem"), 2, peers=2, sharing="branch")
    images = torch.randn(5, 3, 8, 8)
    cohort(images)  # changes the running statistics
    before, weights = {name: part.clone() for name, part in cohort.state_dict().items()}, list(cohort.parameters())
    expected = cohort.eval()(images).logits
    synchronise_batch_norm(cohort)
    norms = [module for module in cohort.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 3  # one is shared
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    assert [id(weight) for weight in cohort.parameters()] == [id(weight) for weight in weights]
    assert cohort.state_dict().keys() == before.keys()
    assert all(torch.equal(part, before[name]) for name, part in cohort.state_dict().items())
    torch.testing.assert_close(cohort(images).logits, expected, rtol=0, atol=1e-6)

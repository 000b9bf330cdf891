"""Several processes together compute what one process computes: losses, gradients (through weights), banks, weights.

PEERDISTILL_WRITE_DOCS=1 writes the largest differences into docs/devices.md.
"""

import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.backbones import Backbone, Stage
from peerdistill.contrast import DealtRows
from peerdistill.errors import UserError
from peerdistill.shares import Share
from peerdistill.training.parallel import fabric_for, synchronise_batch_norm
from support import steps_together
from support.processes import exit_codes, fork_together

pytestmark = pytest.mark.own_process

PAGE = Path(__file__).resolve().parents[2] / "docs/devices.md"
TABLE = re.compile(r"<!-- equivalence -->.*?<!-- /equivalence -->", re.DOTALL)
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
    "dml averaged": {"name": "dml", "options": {}, "ema": 0.5},
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
    for module in ("cohort", "method", "ema"):
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


def test_processes_of_several_machines_are_counted_together(tmp_path):
    """Two machines with one process each, as ``torchrun --nnodes 2`` starts them."""

    def work(rank: int) -> None:
        os.environ |= {"NODE_RANK": str(rank), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        fabric = fabric_for("cpu", "32-true")
        fabric.launch()
        assert (fabric.global_rank, fabric.world_size) == (rank, 2)
        assert fabric.all_reduce(torch.tensor(rank + 1.0), reduce_op="sum") == 3

    assert exit_codes(fork_together(2, work)) == [0, 0]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_every_process_of_a_machine_needs_a_gpu_of_its_own(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"^4 processes need a GPU each, and this machine has 2: set"):
        fabric_for(device, "32-true", 4)


def test_dropout_differs_between_steps_and_between_processes(tmp_path):
    masks = torch.cat(steps_together.of_processes(steps_together.dropout_masks, 2, tmp_path))
    assert len(masks) == 2 * steps_together.STEPS
    assert len(masks.unique(dim=0)) == len(masks)


@pytest.mark.parametrize("count", [2, 4])
def test_shards_of_banks_as_one_process(tmp_path, count):
    for _, found, expected in divided(count, tmp_path):
        check_same(found, expected)


def divided(count: int, folder: Path) -> Iterator[tuple[str, dict, dict]]:
    """Yield the case, what a process with its part of the banks computes, and what one process computes there."""
    cases = {
        case: {"name": case.partition(" ")[0], "options": {"contrast": {"count": 8, "width": 8, **contrast}}}
        for case, contrast in SHARDED.items()
    }
    one = {case: steps_together.steps(Fabric(accelerator="cpu", devices=1), **each) for case, each in cases.items()}
    for each in cases.values():
        each["options"]["contrast"]["shard"] = "always"
    together = steps_together.steps_of_processes(cases, count, folder)
    for case, expected in one.items():
        for process, found in enumerate(together):
            held = DealtRows(steps_together.LABELS, Share(process, count)).samples
            rows = expected["method"].items()
            own = {name: part[:, held] if name.endswith("bank.rows") else part for name, part in rows}
            yield case, found[case], {**expected, "method": own}


def test_the_table_has_every_case(alone, tmp_path):
    if os.environ.get("PEERDISTILL_WRITE_DOCS") == "1":
        PAGE.write_text(TABLE.sub(measured_table(alone, tmp_path), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    (table,) = TABLE.findall(PAGE.read_text(encoding="utf-8"))
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[3:-1]]
    assert [row[0] for row in rows] == [*CASES, *(f"{case}, divided" for case in SHARDED)]
    assert all(float(figure) <= 1e-8 for row in rows for figure in row[2:])


def measured_table(alone: dict[str, dict], folder: Path) -> str:
    """Return the table of the largest differences, in Markdown, with its markers."""
    largest: dict[tuple[str, str], list[float]] = {}

    def note(case: str, counts: str, found: dict, expected: dict) -> None:
        before = largest.get((case, counts), [0.0] * 3)
        largest[case, counts] = [max(pair) for pair in zip(before, differences(found, expected), strict=True)]

    for count in (2, 3):
        of_processes = steps_together.steps_of_processes(CASES, count, new_folder(folder / f"{count}"))
        for found in of_processes:
            for case in CASES:
                note(case, "2, 3", found[case], alone[case])
    for count in (2, 4):
        for case, found, expected in divided(count, new_folder(folder / f"divided-{count}")):
            note(f"{case}, divided", "2, 4", found, expected)
    rows = [
        f"| {case} | {counts} | {' | '.join(f'{figure:.0e}' for figure in figures)} |"
        for (case, counts), figures in largest.items()
    ]
    head = [
        "| method | processes | losses, relative | networks | heads, gates and banks |",
        "| --- | --- | --: | --: | --: |",
    ]
    return "\n".join(["<!-- equivalence -->", *head, *rows, "<!-- /equivalence -->"])


def differences(found: dict, expected: dict) -> tuple[float, float, float]:
    """Return the largest relative difference of the losses, and the largest ones of networks and of the method."""
    losses = [
        abs(step[part].item() - of_one.item()) / max(abs(of_one.item()), 1e-300)
        for step, step_of_one in zip(found["losses"], expected["losses"], strict=True)
        for part, of_one in step_of_one.items()
    ]
    networks, method = (
        max((furthest(found[module][name], of_one) for name, of_one in expected[module].items()), default=0.0)
        for module in ("cohort", "method")
    )
    return max(losses), networks, method


def furthest(part: torch.Tensor, of_one: torch.Tensor) -> float:
    """Return the largest difference of two tensors; rows that are not known yet are NaN in both."""
    return (part.double() - of_one.double()).abs().nan_to_num().max().item() if of_one.numel() else 0.0


def new_folder(path: Path) -> Path:
    path.mkdir()
    return path


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

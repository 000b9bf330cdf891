"""CUDA graphs of a step against the same steps without graphs. Without a GPU, none is recorded and few tests run."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.errors import PeerdistillWarning
from peerdistill.shares import WHOLE
from peerdistill.terms import CrossEntropy, Method, Weighted
from peerdistill.training import GrowthConfig, TrainingConfig
from peerdistill.training.config import CudaGraphs
from peerdistill.training.gradient_graphs import EAGER_BATCHES, is_known
from peerdistill.training.learner import Learner
from support import steps_together

STEPS = 2 * EAGER_BATCHES + 4

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
needs_gpu = pytest.mark.skipif(not ON_GPU, reason="needs a GPU")


class OwnModule(nn.Module):
    """A module of user code."""


def test_modules_of_user_code_are_not_known_to_compute_the_same_in_each_step():
    cohort = Cohort("resnet20", classes=10, peers=2)
    assert is_known(cohort, methods.mcl_okd(cohort, train_labels=torch.arange(100) % 10))
    assert not is_known(cohort, nn.Sequential(nn.Linear(2, 2), OwnModule()))


def batches(mixed: int = 0) -> list[Any]:
    """Batches on the GPU, of which one in the middle is smaller, as the last of an epoch is."""
    found = [steps_together.batch(number, WHOLE, mixed) for number in range(STEPS)]
    for name in ("images", "labels", "indices"):
        setattr(found[STEPS // 2], name, getattr(found[STEPS // 2], name)[:-1])
    return [
        SimpleNamespace(**{name: part if part is None else part.to(DEVICE) for name, part in vars(one).items()})
        for one in found
    ]


def learner_of(cohort: Cohort, method: Method, cuda_graphs: CudaGraphs = "auto", **options: Any) -> Learner:
    fabric = Fabric(accelerator=DEVICE.type, devices=1)
    config = TrainingConfig(lr=0.1, clip_norm=1.0, memory_format="contiguous", cuda_graphs=cuda_graphs, **options)
    cohort.train()
    method.train()
    return Learner(cohort.to(DEVICE), method, config=config, fabric=fabric, steps=STEPS)


def trained(name: str, cuda_graphs: CudaGraphs, mixed: int) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Return the losses of some steps and the state after them. The last two have the weights of a later epoch."""
    cohort, method = steps_together.build(name, {}, WHOLE)
    learner = learner_of(cohort, method, cuda_graphs)
    torch.manual_seed(0)
    losses = []
    for number, batch in enumerate(batches(mixed), start=1):
        method.start_epoch(5 if number > STEPS - 2 else 3)
        loss = learner.step([batch], number)
        losses.append({part: float(value) for part, value in {"total": loss.total, **loss.parts}.items()})
    return losses, {name: part.cpu() for name, part in {**cohort.state_dict(), **method.state_dict()}.items()}


@pytest.mark.parametrize("mixed", [0, 3])
@pytest.mark.parametrize("name", methods.names() if ON_GPU else ["mcl-okd"])
@pytest.mark.filterwarnings("ignore:.*negatives.*")
def test_steps_with_graphs_are_those_without(name, mixed):
    if mixed and name not in ("baseline", "mcl-okd", "pcl"):
        pytest.skip("one method of each kind is enough")
    plain_losses, plain = trained(name, "off", mixed)
    losses, state = trained(name, "auto", mixed)
    for found, expected in zip(losses, plain_losses, strict=True):
        assert found == pytest.approx(expected, rel=1e-8, nan_ok=True)
    torch.testing.assert_close(state, plain, rtol=1e-7, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize("name", ["mcl-okd", "pcl"] if ON_GPU else ["mcl-okd"])
@pytest.mark.filterwarnings("ignore:.*negatives.*")
def test_leader_steps_with_graphs_are_those_without(name):
    """The leader alone, then in turn with all peers, which start from it; each kind of step has graphs of its own."""
    plain, found = (trained_late(name, cuda_graphs) for cuda_graphs in ("off", "auto"))
    torch.testing.assert_close(found, plain, rtol=1e-7, atol=1e-8, equal_nan=True)


def trained_late(name: str, cuda_graphs: CudaGraphs) -> dict[str, torch.Tensor]:
    cohort, method = steps_together.build(name, {}, WHOLE)
    learner = learner_of(cohort, method, cuda_graphs, growth=GrowthConfig(start=0.5), distill_every=2)
    torch.manual_seed(0)
    method.start_epoch(3)
    batch = batches()[0]
    for number in range(1, 5):
        learner.leader_step([batch], number)
    learner.grow_peers()
    for number in range(5, 15):
        (learner.step if number % 2 else learner.leader_step)([batch], number)
    return {name: part.cpu() for name, part in {**cohort.state_dict(), **method.state_dict()}.items()}


def own_method(term: nn.Module) -> tuple[Cohort, Method]:
    type(term).__module__ = "peerdistill.pretended"  # as if it was known
    cohort, _ = steps_together.build("baseline", {}, WHOLE)
    return cohort, Method([Weighted("own", 1.0, term)])


@needs_gpu
def test_a_step_that_draws_on_the_host_runs_without_graphs():
    class Draws(CrossEntropy):
        def forward(self, out, batch):
            return super().forward(out, batch) * float(torch.rand(()))

    learner = learner_of(*own_method(Draws()))
    batch = batches()[0]
    with pytest.warns(PeerdistillWarning, match="draws random numbers on the host"):
        ratios = {round(float(learner.step([batch], number).total), 6) for number in range(1, 6)}
    assert len(ratios) == 5


@needs_gpu
def test_a_step_that_waits_for_the_device_runs_without_graphs():
    class Waits(CrossEntropy):
        def forward(self, out, batch):
            loss = super().forward(out, batch)
            self.seen = float(loss)
            return loss

    term = Waits()
    learner = learner_of(*own_method(term))
    with pytest.warns(PeerdistillWarning, match="waits for the device"):
        losses = [(float(learner.step([batch], number).total), term.seen) for number, batch in enumerate(batches(), 1)]
    assert all(loss == pytest.approx(seen) for loss, seen in losses)

"""One optimizer step: accumulation, clipping and the moving average against plain PyTorch."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.backbones import Backbone, Stage
from peerdistill.contrast import ContrastOptions
from peerdistill.terms import CrossEntropy, Method, MutualKL, Weighted
from peerdistill.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from peerdistill.training.learner import Learner

CLASSES = 3
STAGES = (Stage("stem", ("stem",)), Stage("body", ("body", "pool")))


def network(norm: bool) -> nn.Module:
    middle = [nn.BatchNorm2d(5)] if norm else []
    body = nn.Sequential(nn.Conv2d(4, 5, 3), *middle, nn.GELU())
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(OrderedDict(stem=nn.Conv2d(1, 4, 3), body=body, pool=pool, fc=nn.Linear(5, CLASSES)))


def batch(size: int, seed: int = 0, dtype=torch.float64) -> SimpleNamespace:
    draws = torch.Generator().manual_seed(seed)
    return SimpleNamespace(
        images=torch.randn(size, 1, 8, 8, generator=draws, dtype=dtype),
        labels=torch.randint(CLASSES, (size,), generator=draws),
        indices=torch.arange(size) + seed,
        targets=None,
    )


def split(whole: SimpleNamespace, parts: int) -> list[SimpleNamespace]:
    columns = {name: value.chunk(parts) for name, value in vars(whole).items() if value is not None}
    return [
        SimpleNamespace(**{name: value[part] for name, value in columns.items()}, targets=None) for part in range(parts)
    ]


@pytest.fixture
def make_learner():
    """Return a function that makes a learner of two peers with the same initial weights each time."""

    def make(method=None, norm: bool = False, dtype=torch.float64, fabric=None, **options) -> Learner:
        torch.manual_seed(0)
        cohort = Cohort(Backbone("small", lambda: network(norm), STAGES, "fc", "stem"), CLASSES, peers=2).to(dtype)
        terms = [Weighted("labels", 1.0, CrossEntropy()), Weighted("mutual", 1.0, MutualKL(2.0))]
        method = Method(terms) if method is None else method(cohort)
        schedule = ScheduleConfig("constant")
        config = TrainingConfig(**{"lr": 0.1, "schedule": schedule, "memory_format": "contiguous", **options})
        fabric = fabric or Fabric(accelerator="cpu", devices=1)
        learner = Learner(cohort, method, config=config, fabric=fabric, steps=10)
        cohort.train()
        return learner

    return make


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_batches_are_one_large_batch(make_learner, parts, clip_norm):
    """Without batch norm and memory banks; two steps, so that the momentum counts too."""
    whole, small = (make_learner(accumulate=n, clip_norm=clip_norm) for n in (1, parts))
    for number in (1, 2):
        images = batch(12, seed=number)
        expected = whole.step([images], number)
        found = small.step(split(images, parts), number)
        torch.testing.assert_close(found.total, expected.total, rtol=1e-12, atol=0)
        assert found.parts.keys() == expected.parts.keys()
        for name, part in expected.parts.items():
            torch.testing.assert_close(found.parts[name], part, rtol=1e-12, atol=0)
    for name, value in whole.cohort.state_dict().items():
        torch.testing.assert_close(small.cohort.state_dict()[name], value, rtol=1e-12, atol=1e-15, msg=name)


class Follower(CrossEntropy):
    """A cross-entropy that counts its batches and the optimizer steps."""

    def __init__(self):
        super().__init__()
        self.batches, self.steps = 0, 0

    def forward(self, out, batch):
        self.batches += 1
        return super().forward(out, batch)

    def after_step(self, cohort):
        self.steps += 1


def test_terms_see_every_batch_and_followers_every_step(make_learner):
    learner = make_learner(lambda cohort: Method([Weighted("follower", 1.0, Follower())]), accumulate=3)
    for number in (1, 2):
        learner.step(split(batch(9, seed=number), 3), number)
    assert (learner.method.terms["follower"].batches, learner.method.terms["follower"].steps) == (6, 2)


def test_banks_are_updated_by_every_batch(make_learner):
    def contrasting(cohort):
        labels = torch.arange(12) % CLASSES
        return methods.mcl_okd(cohort, labels, contrast=ContrastOptions(negatives="shared", count=4, width=4))

    learner = make_learner(contrasting, dtype=torch.float32, accumulate=2)
    rows = learner.method.state_dict()["terms.contrast.memory.bank.rows"]
    before = rows.clone()
    learner.step(split(batch(6, dtype=torch.float32), 2), 1)
    changed = (rows != before).flatten(2).any(-1).any(0) if rows.ndim == 3 else (rows != before).any(-1)
    assert changed.nonzero().flatten().tolist() == list(range(6))


@pytest.mark.parametrize("clip_norm", [1e-3, 0.3, 1e3])
def test_the_gradient_of_peers_and_method_together_is_clipped_as_by_pytorch(make_learner, clip_norm):
    class Head(CrossEntropy):
        """A term with a parameter of its own."""

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

        def forward(self, out, batch):
            return self.scale * super().forward(out, batch)

    plain = OptimizerConfig(momentum=0.0, weight_decay=0.0)
    learner = make_learner(lambda cohort: Method([Weighted("head", 1.0, Head())]), clip_norm=clip_norm, optimizer=plain)
    twin = make_learner(lambda cohort: Method([Weighted("head", 1.0, Head())]))
    parameters = [*twin.cohort.parameters(), *twin.method.parameters()]
    given = batch(8)
    twin.method(twin.cohort(given.images), given.labels, given.indices).total.backward()
    norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    assert (norm > clip_norm) == (clip_norm < 1)
    expected = [parameter.detach() - 0.1 * parameter.grad for parameter in parameters]
    learner.step([given], 1)
    found = [*learner.cohort.parameters(), *learner.method.parameters()]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def test_the_ema_is_the_average_of_weights_and_batch_norm_statistics_after_every_step(make_learner):
    learner = make_learner(norm=True, ema=0.5)
    assert learner.ema is not None
    leader = learner.cohort.networks[-1]
    expected = {}
    for number in range(1, 7):
        learner.step([batch(8, seed=number)], number)
        phi = min(0.5, 1 - number**-0.75)
        for name, value in weights(leader).items():
            averaged = value.is_floating_point() and number > 1
            expected[name] = phi * expected[name] + (1 - phi) * value if averaged else value
    found = learner.ema.network.state_dict()
    assert expected["body.1.num_batches_tracked"] == 6
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-14, msg=name)
        assert value.ndim == 0 or not torch.equal(value, leader.state_dict()[name])


def test_the_ema_is_not_trained_and_stays_apart_from_the_leader(make_learner):
    learner = make_learner(ema=0.9)
    leader = learner.cohort.networks[-1]
    learner.step([batch(8)], 1)
    own = {value.data_ptr() for value in learner.ema.network.parameters()}
    assert own.isdisjoint(value.data_ptr() for value in leader.parameters())
    assert not any(value.requires_grad for value in learner.ema.network.parameters())
    assert learner.state_dict()["ema"].keys() == leader.state_dict().keys()


def test_without_an_ema_there_is_no_state_of_it(make_learner):
    assert "ema" not in make_learner().state_dict()


def test_half_precision_gradients_are_clipped_after_unscaling(make_learner):
    """Their scale is 65,536: a clipped norm of scaled gradients would leave almost no update."""
    plain = OptimizerConfig(momentum=0.0, weight_decay=0.0)
    scaled = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[scaled])
    learner = make_learner(dtype=torch.float32, fabric=fabric, precision="16-mixed", clip_norm=0.05, optimizer=plain)
    before = nn.utils.parameters_to_vector(learner.cohort.parameters()).clone()
    learner.step([batch(8, dtype=torch.float32)], 1)
    after = nn.utils.parameters_to_vector(learner.cohort.parameters())
    assert (after - before).norm().item() == pytest.approx(0.1 * 0.05, rel=1e-2)


@pytest.mark.parametrize(("rule", "expected"), [("none", 0.1), ("linear", 0.2), ("sqrt", 0.1 * 2**0.5)])
def test_the_learning_rate_follows_the_images_per_step(make_learner, rule, expected):
    learner = make_learner(lr=0.1, batch_size=64, accumulate=8, lr_scaling=rule, lr_batch=256)
    assert learner.lr == pytest.approx(expected)

"""Optimizer steps with every method, in one process or in several that train together."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import torch
from lightning_fabric import Fabric
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.backbones import Backbone, Stage
from peerdistill.contrast import memory_of
from peerdistill.shares import Share
from peerdistill.terms import Teacher
from peerdistill.training import GrowthConfig, TrainingConfig
from peerdistill.training.learner import Learner
from peerdistill.training.parallel import fabric_for
from support.processes import exit_codes, fork_together

CLASSES, SAMPLES, BATCH, STEPS = 4, 24, 7, 3
LABELS = torch.arange(SAMPLES) % CLASSES
STAGES = (Stage("stem", ("stem",)), Stage("low", ("low",)), Stage("high", ("high", "pool")))


def network() -> nn.Module:
    layers = {
        "stem": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh()),
        "low": nn.Sequential(nn.Conv2d(4, 5, 3), nn.Tanh()),
        "high": nn.Sequential(nn.Conv2d(5, 16, 3), nn.Tanh()),
        "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    return nn.Sequential(OrderedDict(**layers, fc=nn.Linear(16, CLASSES)))


def backbone() -> Backbone:
    return Backbone("small", network, STAGES, "fc", "stem")


def build(name: str, options: dict, share: Share):
    torch.manual_seed(0)
    card = methods.find(name)
    peers = 1 if card.needs_teacher else 3
    cohort = Cohort(backbone(), CLASSES, peers, card.sharings[0] if peers > 1 else "network")
    teacher = Teacher(Cohort(backbone(), CLASSES, 1, "network")) if card.needs_teacher else None
    if "contrast" in options:
        kind = next(option.annotation for option in card.options if option.name == "contrast")
        options = {**options, "contrast": kind(**options["contrast"])}
    with memory_of(share):
        method = methods.build(name, cohort, train_labels=LABELS, teacher=teacher, **options)
    for module in filter(None, (cohort, method, teacher)):
        module.double()
    return cohort, method


def batch(number: int, share: Share, mixed: int) -> SimpleNamespace:
    draws = torch.Generator().manual_seed(100 + number)
    indices = torch.randperm(SAMPLES, generator=draws)[:BATCH]
    images = torch.randn(BATCH, 3, 9, 9, generator=draws, dtype=torch.float64)
    targets = torch.rand(mixed, CLASSES, generator=draws, dtype=torch.float64).softmax(1) if mixed else None
    return SimpleNamespace(images=images[share.of(BATCH)], labels=indices % CLASSES, indices=indices, targets=targets)


def steps(
    fabric: Fabric, name: str, options: dict, mixed: int = 0, accumulate: int = 1, leader_steps: Sequence[int] = ()
) -> dict:
    """Return losses and weights. The other peers start from the leader after the first of ``leader_steps``."""
    share = Share(fabric.global_rank, fabric.world_size)
    cohort, method = build(name, options, share)
    late = {"growth": GrowthConfig(start=0.5), "distill_every": 2} if leader_steps else {}
    config = TrainingConfig(lr=0.1, accumulate=accumulate, clip_norm=1.0, memory_format="contiguous", **late)
    learner = Learner(cohort, method, config=config, fabric=fabric, steps=STEPS)
    cohort.eval()  # batch normalisation with its running statistics: those of a batch are not exchanged on CPUs
    method.train()
    if hasattr(method.terms, "means"):
        method.terms["means"].means.eval()
    method.start_epoch(3)
    losses = []
    for number in range(STEPS):
        group = [batch(number * accumulate + part, share, mixed) for part in range(accumulate)]
        loss = (learner.leader_step if number in leader_steps else learner.step)(group, number + 1)
        if [number] == list(leader_steps[:1]):
            learner.grow_peers()
        losses.append({"total": loss.total, **loss.parts})
    return {"losses": losses, "cohort": cohort.state_dict(), "method": method.state_dict()}


def steps_of_processes(cases: dict[str, dict], count: int, folder: Path) -> list[dict[str, dict]]:
    """Return what each of ``count`` processes that train together computes, by case."""

    def work(rank: int) -> None:
        fabric = fabric_for("cpu", "32-true", count)
        fabric.launch()
        torch.save({case: steps(fabric, **options) for case, options in cases.items()}, folder / f"{rank}.pt")

    assert exit_codes(fork_together(count, work)) == [0] * count
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]

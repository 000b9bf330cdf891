"""Optimizer steps with every method, in one process or in several that train together."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    fabric: Fabric,
    name: str,
    options: dict,
    mixed: int = 0,
    accumulate: int = 1,
    leader_steps: Sequence[int] = (),
    ema: float = 0.0,
) -> dict:
    """Return losses and weights. The other peers start from the leader after the first of ``leader_steps``."""
    share = Share(fabric.global_rank, fabric.world_size)
    cohort, method = build(name, options, share)
    late = {"growth": GrowthConfig(start=0.5), "distill_every": 2} if leader_steps else {}
    config = TrainingConfig(lr=0.1, accumulate=accumulate, clip_norm=1.0, ema=ema, memory_format="contiguous", **late)
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
    averaged = {} if learner.ema is None else learner.ema.state_dict()
    return {"losses": losses, "cohort": cohort.state_dict(), "method": method.state_dict(), "ema": averaged}


def dropout_masks(fabric: Fabric) -> torch.Tensor:
    """Return what a dropout layer keeps of the same images in each of some steps (steps, pixels)."""
    layers = {"drop": nn.Dropout(0.5), "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())}
    parts = OrderedDict(**layers, fc=nn.Linear(3, CLASSES))
    stages = (Stage("all", ("drop", "pool")),)
    cohort = Cohort(Backbone("drop", lambda: nn.Sequential(parts), stages, "fc", "all"), CLASSES, 1, "network")
    method = methods.build("baseline", cohort, train_labels=LABELS)
    learner = Learner(cohort, method, config=TrainingConfig(), fabric=fabric, steps=STEPS)
    cohort.train()
    torch.manual_seed(0)
    kept = []
    cohort.networks[0].get_submodule("drop").register_forward_hook(lambda _, __, output: kept.append(output != 0))
    labels = torch.zeros(fabric.world_size, dtype=torch.long)
    for number in range(STEPS):
        same = SimpleNamespace(images=torch.ones(1, 3, 8, 8), labels=labels, indices=labels, targets=None)
        learner.step([same], number + 1)
    return torch.stack(kept).flatten(1)


def steps_of_processes(cases: dict[str, dict], count: int, folder: Path) -> list[dict[str, dict]]:
    """Return what each of ``count`` processes that train together computes, by case."""

    def compute(fabric: Fabric) -> dict[str, dict]:
        return {case: steps(fabric, **options) for case, options in cases.items()}

    return of_processes(compute, count, folder)


def of_processes(compute: Callable[[Fabric], Any], count: int, folder: Path) -> list[Any]:
    """Return the result of ``compute`` in each of ``count`` processes that train together."""

    def work(rank: int) -> None:
        fabric = fabric_for("cpu", "32-true", count)
        fabric.launch()
        torch.save(compute(fabric), folder / f"{rank}.pt")

    assert exit_codes(fork_together(count, work)) == [0] * count
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]

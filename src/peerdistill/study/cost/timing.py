"""The time of a training step on this machine, measured, and computed from the speed of the network alone."""

import itertools
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric

from peerdistill.config.config import Config
from peerdistill.config.options import TeacherConfig
from peerdistill.runs.build import check_device
from peerdistill.study.cost.passes import MultiplyAdds
from peerdistill.study.cost.peers import peers_of
from peerdistill.study.cost.sizes import Sizes
from peerdistill.study.timing import median_seconds, seconds
from peerdistill.training.learner import Learner

LONGEST_STEP_S = 20.0
"""A step that would take longer is not measured."""

_REPEATS = 5
_ENOUGH_S = 10.0
_ONE_CALL_S = 1.0  # long enough to show the speed of a network
_MANY = 10**9  # steps of the schedule
_MOST_MEMORY = 0.5  # of the machine's memory


@dataclass(frozen=True)
class Timing:
    """The time of an optimizer step with random images; reading and augmenting images is not part of it.

    Attributes:
        device: Where the steps ran.
        threads: Threads of PyTorch on a CPU.
        per_second: Multiply-adds per second in steps of the leader alone.
        network_batch: Images in the batches of the leader alone.
        computed: Seconds of a step at that speed.
        measured: Median seconds of a step; None if none was measured.
        reason: Why none was measured; empty if one was.
    """

    device: str
    threads: int
    per_second: float
    network_batch: int
    computed: float
    measured: float | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)


def timing(config: Config, sizes: Sizes, counted: MultiplyAdds, memory: int) -> Timing:
    """Return the time of a step of a configuration, and of one of the leader alone.

    Args:
        config: Configuration of a run.
        sizes: Sizes of its data.
        counted: Multiply-adds of a batch.
        memory: Bytes of memory that the training needs.

    Raises:
        UserError: The machine does not have the device.
    """
    check_device(config.training.device)
    fabric = Fabric(accelerator=config.training.device, devices=1, precision=config.training.precision)
    alone, batch = _step_alone(config, sizes, fabric, counted)
    calls: dict[str, Callable[[], object]] = {"alone": alone}
    per_image = counted.alone / counted.batch
    total = counted.total * config.training.accumulate

    def per_second(took: float) -> float:
        return per_image * batch / took

    reason = _why_not(total / per_second(seconds(alone)), memory, fabric.device)
    if not reason:
        calls["step"] = _step(config, sizes, fabric)
    took = median_seconds(calls, _REPEATS, enough_s=_ENOUGH_S)
    return Timing(
        device=torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else fabric.device.type,
        threads=torch.get_num_threads(),
        per_second=per_second(took["alone"]),
        network_batch=batch,
        computed=total / per_second(took["alone"]),
        measured=took.get("step"),
        reason=reason,
    )


def _why_not(step: float, memory: int, device: torch.device) -> str:
    """Return why a step is not measured; empty if it is."""
    if step > LONGEST_STEP_S:
        return f"it would take more than {LONGEST_STEP_S:.0f} s; a smaller batch_size can be measured"
    if device.type == "cpu" and memory > _MOST_MEMORY * _machine_memory():
        return f"it would need {memory / 2**30:.1f} GiB of memory, more than half of what this machine has"
    return ""


def _machine_memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError):  # not on this system
        return math.inf


def _step(config: Config, sizes: Sizes, fabric: Fabric) -> Callable[[], object]:
    """Return a function that trains the peers for a step."""
    peers = peers_of(config, sizes, fabric.device)
    # The weights hardly change, so that they stay finite with random images.
    training = replace(config.training, lr=1e-9)
    learner = Learner(peers.cohort, peers.method, config=training, fabric=fabric, steps=_MANY)
    numbers = itertools.count(1)

    def step() -> None:
        learner.step([peers.batch] * training.accumulate, next(numbers))
        if fabric.device.type == "cuda":
            torch.cuda.synchronize(fabric.device)

    return step


def _step_alone(
    config: Config, sizes: Sizes, fabric: Fabric, counted: MultiplyAdds
) -> tuple[Callable[[], object], int]:
    """Return a function that trains the leader alone for a step, and the number of images in its batches.

    The batches are those of the configuration, or smaller ones that take long enough.
    """
    leader = replace(config.cohort, peers=1, sharing="network", peer_backbones=None)
    training = replace(config.training, accumulate=1)
    plain = replace(config, cohort=leader, method="baseline", options={}, teacher=TeacherConfig(), episodes=None)
    size = 1
    while True:
        size = min(2 * size, counted.batch)
        of_size = replace(plain, training=replace(training, batch_size=size))
        step = _step(of_size, sizes, fabric)
        step()
        if size == counted.batch or seconds(step) > _ONE_CALL_S:
            return step, size

"""The cost of a training as a whole."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from peerdistill.config.config import Config
from peerdistill.errors import UserError
from peerdistill.runs.fitting import with_fitting_batches
from peerdistill.runs.run import Run
from peerdistill.study.cost.memory import Memory, memory_of
from peerdistill.study.cost.passes import MultiplyAdds, count
from peerdistill.study.cost.peers import Peers, with_shapes
from peerdistill.study.cost.sizes import Sizes, sizes_of_config, sizes_of_run
from peerdistill.study.cost.timing import Timing, timing
from peerdistill.training.growth import LeaderSteps


@dataclass(frozen=True)
class Cost:
    """What a training costs.

    Attributes:
        method: Name of the method.
        backbones: Networks of the peers; the last one is the leader's.
        copies: Copies of each stage.
        sizes: Sizes of the data.
        epochs: Passes over the training images.
        batches_per_epoch: Batches in an epoch.
        accumulate: Batches per optimizer step.
        leader_steps: Optimizer steps in which only the leader learns.
        parameters: Number of parameters that learn of the deployed "leader", of the "cohort" and of the "method" (heads
            and the like, never deployed), and all those of the "teacher".
        multiply_adds: Multiply-adds of a batch.
        memory: Memory in bytes.
        timing: Time of a step on this machine; None if it was not asked for.
    """

    method: str
    backbones: tuple[str, ...]
    copies: tuple[int, ...]
    sizes: Sizes
    epochs: int
    batches_per_epoch: int
    accumulate: int
    leader_steps: int
    parameters: Mapping[str, int]
    multiply_adds: MultiplyAdds
    memory: Memory
    timing: Timing | None

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.epochs * -(-self.batches_per_epoch // self.accumulate)

    @property
    def training(self) -> int:
        """Multiply-adds of the whole training, without evaluation."""
        found = self.multiply_adds
        saved = round(self.leader_steps / self.steps * (found.total - found.alone))
        return self.epochs * self.batches_per_epoch * (found.total - saved)

    @property
    def ratio(self) -> float:
        """Multiply-adds divided by those of training the leader alone for as many epochs."""
        return self.training / (self.epochs * self.batches_per_epoch * self.multiply_adds.alone)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            **vars(self),
            "sizes": asdict(self.sizes),
            "parameters": dict(self.parameters),
            "multiply_adds": self.multiply_adds.as_dict(),
            "memory": self.memory.as_dict(),
            "timing": None if self.timing is None else self.timing.as_dict(),
            "steps": self.steps,
            "training": self.training,
            "ratio": self.ratio,
        }


def cost(config: Config, sizes: Sizes | None = None, *, measure: bool = True) -> Cost:
    """Return what a training costs. Everything but the time is computed from shapes, in seconds for any size.

    Args:
        config: Configuration of a run.
        sizes: Sizes of its data; None loads the data to find out.
        measure: Whether to measure the time of a step.

    Raises:
        UserError: An unknown network, a teacher or data that do not exist, or a batch larger than the data.

    Example:
        >>> from peerdistill.config import Config
        >>> from peerdistill.study.cost import Sizes, cost
        >>> config = Config.from_dict({"data": "cifar100", "backbone": "resnet32", "method": "mcl-okd", "peers": 4})
        >>> found = cost(config, Sizes(samples=50_000, classes=100, image_size=32), measure=False)
        >>> found.parameters["leader"], round(found.ratio, 1)
        (472756, 3.7)
    """
    sizes = sizes or sizes_of_config(config)
    config = with_fitting_batches(config, sizes.samples)
    batches, epochs, accumulate = _batches_per_epoch(config, sizes), config.training.epochs, config.training.accumulate
    steps = -(-batches // accumulate)
    counted = count(config, sizes)
    peers, memory = with_shapes(config, sizes, lambda peers: (peers, memory_of(peers, config)))
    return Cost(
        method=config.method,
        backbones=tuple(backbone.name for backbone in peers.cohort.backbones),
        copies=tuple(peers.cohort.copies),
        sizes=sizes,
        epochs=epochs,
        batches_per_epoch=batches,
        accumulate=accumulate,
        leader_steps=LeaderSteps(config.training, steps).count(epochs * steps),
        parameters=_parameters(peers, is_encoder=config.episodes is not None),
        multiply_adds=counted,
        memory=memory,
        timing=timing(config, sizes, counted, memory.total) if measure else None,
    )


def cost_of_run(run: Run, *, measure: bool = True) -> Cost:
    """Return what the training of a run costs. Its data are not needed.

    Raises:
        UserError: The run does not exist, or has no checkpoint yet.
    """
    return cost(run.config, sizes_of_run(run), measure=measure)


def _batches_per_epoch(config: Config, sizes: Sizes) -> int:
    if config.episodes is not None:
        return config.episodes.episodes_per_epoch
    size = config.training.batch_size
    if size > sizes.samples:
        raise UserError(f"batch_size must be at most the number of training images, {sizes.samples}, found {size}")
    return sizes.samples // size


def _parameters(peers: Peers, *, is_encoder: bool) -> dict[str, int]:
    cohort, method = peers.cohort, peers.method
    deployed = cohort.encoder() if is_encoder else cohort.leader()
    return {
        "leader": _learning(deployed),
        "cohort": _learning(cohort),
        "method": _learning(method),
        "teacher": 0 if method.teacher is None else sum(one.numel() for one in method.teacher.parameters()),
    }


def _learning(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)

"""The memory of a training, computed from shapes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peerdistill.config.config import Config
from peerdistill.study.cost.counting import saved_bytes
from peerdistill.study.cost.peers import Peers, with_shapes
from peerdistill.study.cost.sizes import Sizes
from peerdistill.training.config import OptimizerConfig
from peerdistill.training.optimizers import make_optimizer, parameter_groups


@dataclass(frozen=True)
class Memory:
    """Bytes of what a training keeps, in float32 unless an option says otherwise.

    Attributes:
        weights: Parameters and buffers of the peers, parameters of the method, and moving averages.
        teacher: Parameters and buffers of the teacher.
        gradients: Gradients of the parameters that learn.
        optimizer: State of the optimizer after its first step; None if the optimizer needs data for it.
        buffers: Memory banks, queues and other buffers, by the term of the method that owns them.
        activations: Tensors that autograd keeps between forward and backward pass of one batch.
    """

    weights: int
    teacher: int
    gradients: int
    optimizer: int | None
    buffers: Mapping[str, int]
    activations: int

    @property
    def total(self) -> int:
        """All of them. Temporary memory of single operations comes on top."""
        kept = self.weights + self.teacher + self.gradients + (self.optimizer or 0)
        return kept + sum(self.buffers.values()) + self.activations

    def as_dict(self) -> dict[str, Any]:
        """Return the bytes for JSON."""
        return {**vars(self), "buffers": dict(self.buffers), "total": self.total}


def memory(config: Config, sizes: Sizes) -> Memory:
    """Return the memory of a training.

    Raises:
        UserError: As :func:`peerdistill.study.cost.cost`.
    """
    return with_shapes(config, sizes, lambda peers: memory_of(peers, config))


def memory_of(peers: Peers, config: Config) -> Memory:
    """Return the memory of a training, after a forward and backward pass and an optimizer step."""
    cohort, method, batch = peers.cohort, peers.method, peers.batch
    with torch.no_grad():
        cohort(batch.images)  # in its first call, a cohort clones what its branches share
    with saved_bytes(cohort, method) as saved:
        loss = method(cohort(batch.images), batch.labels, batch.indices, batch.targets)
    activations = sum(saved.values())
    loss.total.backward()
    groups = parameter_groups(cohort, method.parameters(), config.training.optimizer)
    learning = [parameter for group in groups for parameter in group["params"] if parameter.grad is not None]
    average = _of_module(cohort.networks[-1]) if config.training.ema else 0
    buffers = {name: _bytes(term.buffers()) for name, term in method.terms.items()}
    return Memory(
        weights=_of_module(cohort) + _bytes(method.parameters()) + average,
        teacher=_of_module(method.teacher) if method.teacher else 0,
        gradients=_bytes(learning),
        optimizer=_optimizer_state(groups, config.training.optimizer),
        buffers={name: size for name, size in buffers.items() if size},
        activations=activations,
    )


def _optimizer_state(groups: Iterable[Mapping[str, Any]], config: OptimizerConfig) -> int | None:
    """Return the bytes that an optimizer keeps after a step with the gradients that the parameters have."""
    optimizer = make_optimizer(groups, config, lr=1.0, fused=False)
    try:
        optimizer.step()
    except RuntimeError:  # some of timm's compute with numbers that they read from the weights
        return None
    return _bytes(value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))


def _of_module(module: nn.Module) -> int:
    return _bytes(module.parameters()) + _bytes(module.buffers())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

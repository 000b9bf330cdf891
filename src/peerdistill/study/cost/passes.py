"""The multiply-adds of the forward and backward pass of one batch, by what needs them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.config.config import Config
from peerdistill.study.cost.counting import multiply_adds
from peerdistill.study.cost.peers import Peers, with_shapes
from peerdistill.study.cost.sizes import Sizes
from peerdistill.training.growth import LeaderSteps

PEERS, ENSEMBLE, TEACHER = "peers", "ensemble", "teacher"
"""Names of parts of the forward pass that are not terms of the method."""


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one batch. Both passes are counted: the backward pass is not estimated from the forward pass.

    Attributes:
        batch: Number of images B.
        network: Forward pass of the leader alone.
        network_backward: Its backward pass.
        forward: Forward pass of the "peers", and of the "ensemble", the "teacher" and the terms of the method that have
            multiply-adds. Terms that compute their own gradient, such as the contrast, do it in the forward pass.
        peers_backward: Backward pass of the peers.
        method_backward: Backward pass of terms and ensemble, down to the outputs of the peers.
    """

    batch: int
    network: int
    network_backward: int
    forward: Mapping[str, int]
    peers_backward: int
    method_backward: int

    @property
    def total(self) -> int:
        """Forward and backward pass of a batch."""
        return sum(self.forward.values()) + self.peers_backward + self.method_backward

    @property
    def alone(self) -> int:
        """Forward and backward pass of a batch if the leader is trained alone, with the cross-entropy."""
        return self.network + self.network_backward

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and their sums for JSON."""
        return {**vars(self), "forward": dict(self.forward), "total": self.total, "alone": self.alone}


def multiply_adds_per_step(config: Config, sizes: Sizes) -> int:
    """Return the multiply-adds of an optimizer step of all peers: forward and backward pass of its batches.

    Elementwise operations, the optimizer, augmentation and evaluation are not counted. The first call for some options
    takes about a second.

    Args:
        config: Configuration of a run.
        sizes: Sizes of its data.

    Raises:
        UserError: As :func:`peerdistill.study.cost.cost`.

    Example:
        >>> from peerdistill.config import Config
        >>> from peerdistill.study.cost import Sizes, multiply_adds_per_step
        >>> config = Config.from_dict({"data": "cifar100", "method": "baseline", "peers": 1, "batch_size": 64})
        >>> round(multiply_adds_per_step(config, Sizes(50_000, 100, image_size=32)) / 1e9, 1)
        13.2
    """
    return config.training.accumulate * count(config, sizes).total


def multiply_adds_of_steps(config: Config, sizes: Sizes, steps: int, steps_per_epoch: int) -> int:
    """Return the multiply-adds of the first optimizer steps of a run; in some of them only the leader may learn.

    Args:
        config: Configuration of a run.
        sizes: Sizes of its data.
        steps: Number of steps.
        steps_per_epoch: Optimizer steps of an epoch.

    Raises:
        UserError: As :func:`peerdistill.study.cost.cost`.
    """
    found = count(config, sizes)
    alone = LeaderSteps(config.training, steps_per_epoch).count(steps)
    return config.training.accumulate * (alone * found.alone + (steps - alone) * found.total)


def count(config: Config, sizes: Sizes) -> MultiplyAdds:
    """Return the multiply-adds of a batch. They are kept: further calls for the same options take no time.

    Raises:
        UserError: As :func:`peerdistill.study.cost.cost`.
    """
    mixed = getattr(config.data, "mix", None)
    options = sorted(config.options.items())
    key = repr(
        (config.cohort, config.method, options, config.teacher, config.episodes, config.training.batch_size, mixed)
    )
    if (key, sizes) not in _counted:
        _counted[key, sizes] = with_shapes(config, sizes, count_of)
    return _counted[key, sizes]


_counted: dict[tuple[str, Sizes], MultiplyAdds] = {}


def count_of(peers: Peers) -> MultiplyAdds:
    """Return the multiply-adds of a batch. The gradients are computed, too."""
    cohort, method, batch = peers.cohort, peers.method, peers.batch
    alone = cohort.single(cohort.leader()).train()
    with multiply_adds() as network:
        logits = alone(batch.images).logits
    with multiply_adds() as network_backward:
        logits.sum().backward()
    with multiply_adds() as of_peers:
        out = cohort(batch.images)
    received = _received(out)
    parts = {**method.terms, ENSEMBLE: method.ensemble} | ({TEACHER: method.teacher} if method.teacher else {})
    with multiply_adds(parts) as of_method:
        loss = method(received, batch.labels, batch.indices, batch.targets)
    with multiply_adds() as method_backward:
        loss.total.backward()
    with multiply_adds() as peers_backward:
        torch.autograd.backward(*_gradients(out, received))
    return MultiplyAdds(
        batch=len(batch.labels),
        network=network.total,
        network_backward=network_backward.total,
        forward={PEERS: of_peers.total, **{name: found for name, found in of_method.calls.items() if found}},
        peers_backward=peers_backward.total,
        method_backward=method_backward.total,
    )


def _received(out: CohortOutput) -> CohortOutput:
    """Return the output of a cohort cut from its graph, so that the backward pass of a method ends there."""

    def cut(x: Tensor) -> Tensor:
        return x.detach().requires_grad_()

    features = cut(out.features) if isinstance(out.features, Tensor) else tuple(map(cut, out.features))
    return out._replace(logits=cut(out.logits), features=features, stem=cut(out.stem))


def _gradients(out: CohortOutput, received: CohortOutput) -> tuple[list[Tensor], list[Tensor]]:
    """Return the tensors of ``out`` through which gradient flows into the peers, and that gradient."""
    pairs = zip(_tensors(out), _tensors(received), strict=True)
    through = [(x, cut.grad) for x, cut in pairs if x.requires_grad and cut.grad is not None]
    return [x for x, _ in through], [gradient for _, gradient in through]


def _tensors(out: CohortOutput) -> Iterator[Tensor]:
    yield out.logits
    yield out.stem
    yield from [out.features] if isinstance(out.features, Tensor) else out.features

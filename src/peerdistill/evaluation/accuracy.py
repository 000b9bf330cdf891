"""Top-1 and top-5 accuracy of every peer, the leader and the ensemble over a split.

Axes: M peers, B batch, C classes; V the voters, all peers and then their ensemble.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.errors import UserError

_TOP = 5


@runtime_checkable
class LabelledBatch(Protocol):
    """What is read of a batch."""

    @property
    def images(self) -> Tensor:
        """Normalised images (B, channels, height, width)."""
        ...

    @property
    def labels(self) -> Tensor:
        """Their classes (B,)."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """Accuracy in percent."""

    top1: float
    top5: float | None
    """None for up to 5 classes, where it would always be 100 %."""
    interval95: float | None = None
    """Half the width of the 95 % interval of ``top1`` as a mean over episodes; None where it is no such mean."""

    def as_dict(self) -> dict[str, float]:
        """Return what is known by name."""
        known = {"top1": self.top1, "top5": self.top5, "interval95": self.interval95}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class Evaluation:
    """Accuracy of a cohort over ``samples`` images."""

    samples: int
    peers: tuple[Accuracy, ...]
    ensemble: Accuracy

    @property
    def leader(self) -> Accuracy:
        """The last peer's."""
        return self.peers[-1]

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into JSON: ``samples``, ``peers``, ``leader``, ``ensemble``."""
        return {
            "samples": self.samples,
            "peers": [peer.as_dict() for peer in self.peers],
            "leader": self.leader.as_dict(),
            "ensemble": self.ensemble.as_dict(),
        }


@torch.no_grad()
def evaluate(
    cohort: nn.Module,
    ensemble: nn.Module,
    batches: Iterable[LabelledBatch],
) -> Evaluation:
    """Return the accuracies of ``cohort`` over ``batches``; results are read from the device once, at the end.

    Args:
        cohort: The peers.
        ensemble: Forms the ensemble's logits (batch, classes) from a cohort's output: a method's ``ensemble``. Both
            are in evaluation mode for this, and then in the mode they had.
        batches: Images and labels, each sample once.

    Raises:
        UserError: Where there are no samples.
    """
    hits, samples, classes = None, 0, 0
    with evaluating(cohort, ensemble):
        for batch in batches:
            out = cohort(batch.images)
            voters_VBC = torch.cat([out.logits, ensemble(out)[None]])
            counted = _hits(voters_VBC, batch.labels)
            hits = counted if hits is None else hits + counted
            samples += len(batch.labels)
            classes = voters_VBC.shape[-1]
    if hits is None:
        raise UserError("there are no images to evaluate on")
    percent = (100.0 * hits.double() / samples).tolist()
    *peers, together = [Accuracy(top1, top5 if classes > _TOP else None) for top1, top5 in percent]
    return Evaluation(samples, tuple(peers), together)


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode, and back into the modes they had whatever happens."""
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)


def _hits(
    logits_VBC: Float[Tensor, "voters batch classes"], labels_B: Int[Tensor, " batch"]
) -> Int[Tensor, "voters 2"]:
    """Return how often the label is the best of each voter, and how often among its best five."""
    best_VBK = logits_VBC.topk(min(_TOP, logits_VBC.shape[-1]), dim=-1).indices
    right_VBK = best_VBK == labels_B[:, None]
    return torch.stack([right_VBK[..., 0].sum(1), right_VBK.any(-1).sum(1)], dim=1)

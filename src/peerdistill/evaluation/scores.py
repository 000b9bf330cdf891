"""The result of an evaluation: the scores of every predictor by the names of the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scores:
    """Scores of one predictor: a peer, the leader or the ensemble.

    Attributes:
        values: Value of every metric by its name. ``top1`` and ``top5`` are in percent; ``interval95``, of accuracies
            over episodes, is half the width of the 95 % confidence interval of ``top1``.

    Example:
        >>> scores = Scores({"top1": 93.5})
        >>> scores.top1, scores.top5
        (93.5, None)
    """

    values: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    @property
    def top1(self) -> float:
        """Top-1 accuracy in percent."""
        return self.values["top1"]

    @property
    def top5(self) -> float | None:
        """Top-5 accuracy in percent; None for up to 5 classes, where it is always 100 %."""
        return self.values.get("top5")

    @property
    def interval95(self) -> float | None:
        """Half the width of the 95 % confidence interval of ``top1`` over episodes; None without episodes."""
        return self.values.get("interval95")

    def as_dict(self) -> dict[str, float]:
        """Return the values by name."""
        return dict(self.values)


@dataclass(frozen=True)
class Evaluation:
    """Scores of a cohort on an evaluation set.

    Attributes:
        samples: Number of samples that every predictor classified.
        peers: Scores of every peer.
        ensemble: Scores of the ensemble of the method.
        others: Scores of further networks by name, such as "ema".
    """

    samples: int
    peers: tuple[Scores, ...]
    ensemble: Scores
    others: Mapping[str, Scores] = field(default_factory=dict, kw_only=True)

    @property
    def leader(self) -> Scores:
        """Scores of the leader, the last peer."""
        return self.peers[-1]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON: ``samples``, ``peers``, ``leader``, ``ensemble`` and the names of others."""
        return {
            "samples": self.samples,
            "peers": [peer.as_dict() for peer in self.peers],
            "leader": self.leader.as_dict(),
            "ensemble": self.ensemble.as_dict(),
            **{name: scores.as_dict() for name, scores in self.others.items()},
        }

"""From how much training time on peers are better than a single network that trains as long: what was measured."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from peerdistill.config.config import Config
from peerdistill.data.config import DataConfig


@dataclass(frozen=True)
class PeersPay:
    """Test errors of a single network and of the leader of peers, by their number of epochs.

    Time is counted in epochs of the single network. In ``t`` of them, peers whose epoch takes ``ratio`` times as long
    train for ``t / ratio`` epochs. Between two measured numbers of epochs, the error is linear in the logarithm of the
    epochs. Nothing is assumed outside of what was measured.

    Attributes:
        single: Test error in percent of the single network by epochs.
        peers: Test error in percent of the leader by epochs.
        data: The data of the measurement, for messages.
        evidence: The page with the figures.
        margin: Points by which the leader has to be better; less is noise.

    Example:
        >>> study = PeersPay({10: 50.0, 100: 40.0}, {10: 45.0, 100: 30.0}, data="a study", evidence="docs/study.md")
        >>> study.measured(ratio=2.0)
        (20.0, 100.0)
        >>> study.pays_from(ratio=2.0)
        20.0
        >>> study.pays_from(ratio=8.0) is None
        True
    """

    single: Mapping[int, float]
    peers: Mapping[int, float]
    data: str
    evidence: str
    margin: float = 1.0

    def measured(self, ratio: float) -> tuple[float, float] | None:
        """Return the first and the last time for which both errors are known; None if there is none."""
        first = float(max(min(self.single), min(self.peers) * ratio))
        last = float(min(max(self.single), max(self.peers) * ratio))
        return (first, last) if first <= last else None

    def pays_from(self, ratio: float) -> float | None:
        """Return the time from which on the leader was better, up to the last time that was measured.

        Args:
            ratio: Time of an epoch of the peers, divided by that of an epoch of the single network.

        Returns:
            The time in epochs of the single network; None if the leader was not better at the last measured time, or
            if nothing was measured for this ratio.
        """
        found = self.measured(ratio)
        if found is None or self._gain(found[1], ratio) < self.margin:
            return None
        times = {*found, *map(float, self.single), *(epochs * ratio for epochs in self.peers)}
        inside = sorted((time for time in times if found[0] <= time <= found[1]), reverse=True)
        for later, earlier in itertools.pairwise(inside):
            if self._gain(earlier, ratio) < self.margin:
                return self._crossing(earlier, later, ratio)
        return found[0]

    def verdict(self, ratio: float, epochs: int | float, length: Callable[[float], str]) -> tuple[bool, str]:
        """Return whether the leader was better than a single network that trains for so long, and a sentence on it.

        Args:
            ratio: Time of an epoch of the peers, divided by that of an epoch of the single network.
            epochs: Epochs of the single network.
            length: Returns a number of epochs as a text.
        """
        measured, pays_from = self.measured(ratio), self.pays_from(ratio)
        source = f"(measured with {self.data}: {self.evidence})"
        if measured is None:
            return False, f"no measurement tells when peers pay that take {ratio:.1f} times as long {source}"
        if pays_from is None:
            beyond = ", and longer times were not measured" if epochs > measured[1] else ""
            return (
                False,
                f"peers were not better in the time of up to {length(measured[1])} of one network{beyond} {source}",
            )
        pays = epochs >= pays_from
        start = "pay from" if pays else "start to pay after"
        return pays, f"peers {start} about {length(pays_from)} of one network {source}"

    def _gain(self, time: float, ratio: float) -> float:
        """Return by how many points the leader is better at a time."""
        return _at(self.single, time) - _at(self.peers, time / ratio)

    def _crossing(self, earlier: float, later: float, ratio: float) -> float:
        """Return the time at which the gain, which is linear in the logarithm between two times, is the margin."""
        before, after = self._gain(earlier, ratio), self._gain(later, ratio)
        share = (self.margin - before) / (after - before)
        return earlier * (later / earlier) ** share


def _at(errors: Mapping[int, float], epochs: float) -> float:
    known = sorted(errors)
    return float(np.interp(math.log(epochs), np.log(known), [errors[one] for one in known]))


FROM_SCRATCH = PeersPay(
    single={50: 45.45, 100: 43.73, 200: 41.58, 400: 38.88, 800: 38.03, 1600: 35.68},
    peers={25: 51.03, 50: 44.25, 100: 39.72, 200: 38.03, 400: 36.58},
    data="2,000 images of CIFAR-100",
    evidence="docs/results/cifar20-crossing/results.md",
)
"""``resnet20`` and MCL-OKD with 4 branches: means of three seeds."""

WITH_STRONG_AUGMENTATION = PeersPay(
    single={360: 32.65, 720: 29.62},
    peers={100: 36.58, 200: 31.98},
    data="2,000 images of CIFAR-100 with TrivialAugment",
    evidence="docs/results/worth/results.md",
)
"""The same with ``--augment trivialaugment``: means of three seeds."""

FROM_PHOTOGRAPHS = PeersPay(
    single={180: 44.11, 360: 43.72, 720: 43.72},
    peers={200: 42.00},
    data="1,200 photographs",
    evidence="docs/results/worth-photos/results.md",
)
"""The same with 20 classes of miniImageNet, 48 pixels, random crops: means of three seeds."""

FROM_WEIGHTS = PeersPay(
    single={8: 23.90, 12: 21.80},
    peers={8: 23.33},
    data="1,000 images of CIFAR-100, fine-tuned",
    evidence="docs/results/finetuning.md",
)
"""Fine-tuning of ``tf_efficientnet_lite0``: MCL-OKD with 4 branches. On the two other data sets of the page, the
difference at equal time cannot be told apart from 0."""


def study_for(config: Config) -> PeersPay | None:
    """Return what was measured for runs such as this one; None for few-shot runs, for which nothing was."""
    data = config.data
    if not isinstance(data, DataConfig):
        return None
    if config.cohort.pretrained or config.cohort.weights:
        return FROM_WEIGHTS
    if data.augment != "none":
        return WITH_STRONG_AUGMENTATION
    return FROM_PHOTOGRAPHS if data.sources.find(data.data).of_pictures else FROM_SCRATCH

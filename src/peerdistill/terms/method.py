"""A method: weighted terms, and the way the peers form their ensemble."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.cohort import Cohort, CohortOutput
from peerdistill.errors import UserError
from peerdistill.terms.batch import Batch


class Loss(NamedTuple):
    """What a method says of a batch.

    Attributes:
        total: The scalar to minimise.
        parts: Each term's weighted share by name; they add up to ``total``.
    """

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class Ramp:
    """A weight that rises over the first epochs (Laine and Aila, ICLR 2017).

    ``w(t) = weight * exp(-5 (1 - min(t, epochs) / epochs)^2)``, t in epochs; with ``epochs`` 0 it is ``weight`` always.

    Example:
        >>> ramp = Ramp(weight=2.0, epochs=80)
        >>> [round(ramp.at(epoch), 3) for epoch in (0, 40, 80, 200)]
        [0.013, 0.573, 2.0, 2.0]
    """

    weight: float
    epochs: int = 0

    def at(self, epoch: int) -> float:
        """Return the weight in ``epoch``, counted from 0."""
        done = min(epoch, self.epochs) / self.epochs if self.epochs else 1.0
        return self.weight * math.exp(-5 * (1 - done) ** 2)


class Weighted(NamedTuple):
    """A term in its place: its name among the parts of the loss, and its weight.

    The term is called as ``term(out, batch)`` with a cohort's output and a :class:`Batch`, and returns a scalar. In
    its place there may be a function without arguments that makes it: it is not called where the weight is 0.

    Example:
        >>> from peerdistill.terms import CrossEntropy, Method, MutualKL, Weighted
        >>> Method(
        ...     [
        ...         Weighted("cross_entropy", 1.0, CrossEntropy()),
        ...         Weighted("mutual", 0.0, lambda: MutualKL(temperature=2.0)),  # weight 0: never built
        ...     ]
        ... ).terms
        ModuleDict(
          (cross_entropy): CrossEntropy()
        )
    """

    name: str
    weight: float | Ramp
    term: nn.Module | Callable[[], nn.Module]


@runtime_checkable
class FollowsWeights(Protocol):
    """A term that keeps up with the peers' weights, such as their running means."""

    def after_step(self, cohort: Cohort) -> None:
        """Take note of the weights that the optimiser has just changed."""
        ...


class MeanEnsemble(nn.Module):
    """The naive ensemble: the mean of the peers' logits (eq. 4)."""

    def forward(self, out: CohortOutput) -> Float[Tensor, "batch classes"]:
        """Return the ensemble's logits."""
        return out.logits.mean(0)


class Method(nn.Module):
    """A weighted sum of terms.

    Whatever a term owns (embedding heads, a memory bank) is a parameter or buffer of the method: it is trained and
    checkpointed with it, and no part of the deployed leader.

    A loop of your own calls :meth:`start_epoch` at the start of every epoch and :meth:`after_step` after every step of
    the optimiser. Methods whose loss depends on neither can do without; the others refuse to go on.

    Args:
        terms: The terms. One of weight 0 is left out and not made: it costs nothing and owns nothing.
        ensemble: Forms the ensemble's logits (batch, classes) from a cohort's output; by default their mean.
        teacher: Runs once for a batch, before the terms.

    Raises:
        UserError: For a negative weight, two terms of one name, or where no term is left.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> from peerdistill.terms import CrossEntropy, EnsembleToLeader, Method, Weighted
        >>> method = Method(
        ...     [
        ...         Weighted("cross_entropy", 1.0, CrossEntropy()),
        ...         Weighted("ensemble", 0.5, EnsembleToLeader(temperature=3.0)),
        ...     ]
        ... )
        >>> cohort = Cohort("resnet20", classes=10, peers=2)
        >>> loss = method(cohort(torch.rand(4, 3, 32, 32)), labels=torch.arange(4), indices=torch.arange(4))
        >>> list(loss.parts)
        ['cross_entropy', 'ensemble']
        >>> loss.total.backward()
    """

    def __init__(self, terms: Iterable[Weighted], ensemble: nn.Module | None = None, teacher: nn.Module | None = None):
        super().__init__()
        self.weights: dict[str, Ramp] = {}
        self.terms = nn.ModuleDict()
        names = set()
        for term in terms:
            if term.name in names:
                raise UserError(f"the terms of a method need different names, found '{term.name}' twice")
            names.add(term.name)
            self.add(term)
        if not self.terms:
            raise UserError("a method needs at least one term of a weight above 0")
        self.ensemble = ensemble or MeanEnsemble()
        self.epoch: int | None = None
        self._is_behind = False  # whether the weights may have changed since the last ``after_step``
        # In a tuple, out of sight of ``state_dict``: a checkpoint need not repeat what does not learn.
        self._teacher = (teacher,)

    def add(self, term: Weighted) -> bool:
        """Take a term in, unless its weight is 0; tell whether it was.

        Raises:
            UserError: For a negative weight.
        """
        ramp = term.weight if isinstance(term.weight, Ramp) else Ramp(term.weight)
        if not 0 <= ramp.weight < math.inf:
            raise UserError(f"the weight of '{term.name}' must be at least 0, found {ramp.weight}")
        if ramp.weight > 0:
            self.weights[term.name] = ramp
            self.terms[term.name] = term.term if isinstance(term.term, nn.Module) else term.term()
        return ramp.weight > 0

    def remove(self, name: str) -> None:
        """Leave out the term called ``name``."""
        del self.terms[name], self.weights[name]

    def start_epoch(self, epoch: int) -> None:
        """Set the weights that change over time to those of ``epoch``, counted from 0."""
        self.epoch = epoch

    def after_step(self, cohort: Cohort) -> None:
        """Let terms that follow the peers' weights keep up; to be called after every step of the optimiser."""
        for term in self._followers.values():
            term.after_step(cohort)
        self._is_behind = False

    @property
    def ramps(self) -> dict[str, Ramp]:
        """The weights that rise over the first epochs, by the names of their terms."""
        return {name: ramp for name, ramp in self.weights.items() if ramp.epochs}

    @property
    def _followers(self) -> dict[str, FollowsWeights]:
        return {name: term for name, term in self.terms.items() if isinstance(term, FollowsWeights)}

    @property
    def teacher(self) -> nn.Module | None:
        """What runs once for a batch, before the terms; no part of ``state_dict``."""
        return self._teacher[0]

    def add_teacher(self, teacher: nn.Module, term: Weighted) -> None:
        """Let ``term`` learn from ``teacher`` too ("+KD"); at weight 0 neither is used.

        Raises:
            UserError: For a negative weight.
        """
        if self.add(term):
            self._teacher = (teacher,)

    def forward(self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]) -> Loss:
        """Return the loss of a batch.

        Args:
            out: What the cohort put out; terms see the method's own ensemble, and its teacher's output, in it.
            labels: Class of every sample.
            indices: Row of every sample in the training set, the rows of memory banks.

        Raises:
            UserError: In training mode, where a weight rises over epochs and :meth:`start_epoch` was never called, or
                where a term follows the peers' weights and :meth:`after_step` was not called since the last batch.
        """
        if self.training:
            self._check_loop()
        out = out._replace(ensemble=self.ensemble(out))
        if self.teacher is not None:
            out = out._replace(teacher=self.teacher.to(out.logits.device)(out.images))
        batch = Batch(labels, indices, out.images)
        epoch = self.epoch or 0
        parts = {name: self.weights[name].at(epoch) * term(out, batch) for name, term in self.terms.items()}
        return Loss(torch.stack(list(parts.values())).sum(), parts)

    def _check_loop(self) -> None:
        """Raise UserError where the training loop leaves out a call that the loss depends on."""
        if self.epoch is None and self.ramps:
            name, ramp = next(iter(self.ramps.items()))
            raise UserError(
                f"the weight of '{name}' rises over {ramp.epochs} epochs: call method.start_epoch(epoch) before every "
                "epoch, counted from 0"
            )
        if self._is_behind and self._followers:
            raise UserError(
                f"'{next(iter(self._followers))}' follows the peers' weights: call method.after_step(cohort) after "
                "every step of the optimiser"
            )
        self._is_behind = True

"""A method: a weighted sum of terms, an ensemble and, for offline distillation, a teacher."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.cohort import Cohort, CohortOutput
from peerdistill.errors import UserError
from peerdistill.terms.batch import Batch
from peerdistill.terms.criterion import Criterion
from peerdistill.terms.exchange import Exchange

_BUILDS_TERMS = ContextVar("_BUILDS_TERMS", default=True)


@contextmanager
def without_terms() -> Iterator[None]:
    """Build methods without their terms: evaluation needs the ensemble only, not memory banks and heads.

    Terms that a method's function creates itself, instead of passing a function that creates them, are dropped.
    """
    token = _BUILDS_TERMS.set(False)
    try:
        yield
    finally:
        _BUILDS_TERMS.reset(token)


class Loss(NamedTuple):
    """The loss of a batch.

    Attributes:
        total: The scalar to minimise.
        parts: The weighted loss of each term by name. Their sum is ``total``.
    """

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class Ramp:
    """A weight that ramps up over the first epochs (Laine and Aila, ICLR 2017).

    ``w(t) = weight * exp(-5 (1 - min(t, epochs) / epochs)^2)`` in epoch t. If ``epochs`` is 0, the weight is constant.

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
    """A term with its weight and its name among the parts of the loss.

    Attributes:
        name: Name of the term in :attr:`Loss.parts`, unique within the method.
        weight: A number of at least 0, or a :class:`Ramp`. A term of weight 0 is left out.
        term: A module that is called as ``term(out, batch)`` with a cohort's output and a :class:`Batch` and returns a
            scalar. Or a function without arguments that returns such a module; it is not called if the weight is 0.
            Of a batch with mixed images (mixup, CutMix) it receives only the other samples, unless the module has an
            attribute ``accepts_mixed = True``. A module with an attribute ``labels_only = True`` compares every peer
            with the labels and nothing else: it is used in :meth:`Method.leader_loss`.

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
    """A term with a state that follows the peers' weights, such as their EMA."""

    def after_step(self, cohort: Cohort) -> None:
        """Update the state after an optimiser step."""
        ...


@runtime_checkable
class StartsFromWeights(Protocol):
    """A term with a state that starts from the peers' weights, such as their EMA."""

    def start_from(self, cohort: Cohort) -> None:
        """Set the state to that of a new term for ``cohort``."""
        ...


class MeanEnsemble(nn.Module):
    """The default ensemble: the mean of the peers' logits (eq. 4)."""

    def forward(self, out: CohortOutput) -> Float[Tensor, "batch classes"]:
        """Return the ensemble's logits."""
        return out.logits.mean(0)


class Method(nn.Module):
    """A weighted sum of terms.

    Embedding heads, memory banks and other state of the terms are parameters and buffers of the method. They are
    trained and saved with it, and are not part of the deployed leader.

    In your own training loop, call :meth:`start_epoch` before each epoch and :meth:`after_step` after each optimiser
    step. If the loss depends on one of these calls and it is missing, :meth:`forward` raises an error.

    Args:
        terms: The terms. Terms of weight 0 are left out.
        ensemble: A module that returns the ensemble's logits (batch, classes) for a cohort's output; the mean of the
            peers' logits by default.
        teacher: A module that returns the teacher's output for the images. It runs once per batch, before the terms.

    Attributes:
        criterion: The cross-entropy of the terms that compare logits with labels. Replace it to use label smoothing or
            class weights.
        batches_per_step: Largest number of batches whose gradients are accumulated for one optimiser step, 1 at first.
            Memory banks are updated with every batch, terms that follow the weights once per step.
        exchange: What several processes that train together exchange, see :class:`peerdistill.terms.Exchange`.

    Raises:
        UserError: For a negative weight, two terms with the same name, or if there is no term with a weight above 0.

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
                raise UserError(f"the terms of a method must have different names, found '{term.name}' twice")
            names.add(term.name)
            self.add(term)
        if not self.weights:
            raise UserError("a method needs at least one term with a weight above 0")
        self.ensemble = ensemble or MeanEnsemble()
        self.criterion = Criterion()
        self.epoch: int | None = None
        self.batches_per_step = 1
        self.exchange = Exchange()
        self._batches_since_step = 0
        # In a tuple, so that it is not part of ``state_dict``: checkpoints need not repeat weights that stay fixed.
        self._teacher = (teacher,)

    def add(self, term: Weighted) -> bool:
        """Add a term, unless its weight is 0. Return whether it was added.

        Raises:
            UserError: For a negative weight.
        """
        ramp = term.weight if isinstance(term.weight, Ramp) else Ramp(term.weight)
        if not 0 <= ramp.weight < math.inf:
            raise UserError(f"the weight of '{term.name}' must be at least 0, found {ramp.weight}")
        if ramp.weight > 0:
            self.weights[term.name] = ramp
        if ramp.weight > 0 and _BUILDS_TERMS.get():
            self.terms[term.name] = term.term if isinstance(term.term, nn.Module) else term.term()
        return ramp.weight > 0

    def remove(self, name: str) -> None:
        """Remove the term called ``name``."""
        del self.terms[name], self.weights[name]

    def start_epoch(self, epoch: int) -> None:
        """Set all ramps to their weights in ``epoch``, counted from 0."""
        self.epoch = epoch

    def after_step(self, cohort: Cohort) -> None:
        """Update the terms that follow the peers' weights. Call it after each optimiser step."""
        for term in self._followers.values():
            term.after_step(cohort)
        self._batches_since_step = 0

    def start_from(self, cohort: Cohort) -> None:
        """Tell the terms that the peers have got new weights other than by an optimiser step."""
        for term in self.terms.values():
            if isinstance(term, StartsFromWeights):
                term.start_from(cohort)

    @property
    def ramps(self) -> dict[str, Ramp]:
        """The weights that change over epochs, by the names of their terms."""
        return {name: ramp for name, ramp in self.weights.items() if ramp.epochs}

    @property
    def current_weights(self) -> tuple[float, ...]:
        """The weights of the terms in the epoch that :meth:`start_epoch` set, in the order of :attr:`terms`."""
        return tuple(self.weights[name].at(self.epoch or 0) for name in self.terms)

    @property
    def _followers(self) -> dict[str, FollowsWeights]:
        return {name: term for name, term in self.terms.items() if isinstance(term, FollowsWeights)}

    @property
    def teacher(self) -> nn.Module | None:
        """The teacher, or None. It is not part of ``state_dict``."""
        return self._teacher[0]

    def add_teacher(self, teacher: nn.Module, term: Weighted) -> None:
        """Add a teacher and a term that learns from it ("+KD"). If the weight is 0, neither is added.

        Raises:
            UserError: For a negative weight.
        """
        if self.add(term):
            self._teacher = (teacher,)

    @property
    def clean_terms(self) -> list[str]:
        """Names of the terms that do not receive mixed images."""
        return [name for name, term in self.terms.items() if not getattr(term, "accepts_mixed", False)]

    def forward(
        self,
        out: CohortOutput,
        labels: Int[Tensor, " batch"],
        indices: Int[Tensor, " batch"],
        targets: Float[Tensor, "mixed classes"] | None = None,
    ) -> Loss:
        """Return the loss of a batch.

        Args:
            out: Output of the cohort. The terms receive it with the method's ensemble and the teacher's output. If
                several processes train together, this is the output for the images of this process, and the other
                arguments are those of the whole batch.
            labels: Class of each sample.
            indices: Index of each sample in the training set, which is its row in memory banks.
            targets: Class distributions of the first samples, if these are mixed images (mixup, CutMix). Only terms
                with ``accepts_mixed`` receive these samples; their labels are not used.

        Raises:
            UserError: If a term needs clean images and all are mixed. In training mode, if a weight ramps up and
                :meth:`start_epoch` was never called, or if a term follows the peers' weights and :meth:`after_step` was
                not called for more than ``batches_per_step`` batches.
        """
        if self.training:
            self._check_loop()
        if self.teacher is not None:
            out = out._replace(teacher=self.teacher.to(out.logits.device)(out.images))
        out = self.exchange.whole_output(out, len(labels))
        out = out._replace(ensemble=self.ensemble(out))
        batch = Batch(labels, indices, out.images, targets, self.criterion, self.exchange)
        return self._sum(self.terms, out, batch)

    def leader_loss(
        self,
        out: CohortOutput,
        labels: Int[Tensor, " batch"],
        indices: Int[Tensor, " batch"],
        targets: Float[Tensor, "mixed classes"] | None = None,
    ) -> Loss:
        """Return the loss of a leader that learns alone from the labels: the terms with ``labels_only``.

        A method without such a term has the cross-entropy. Neither teacher nor ensemble run, and no state of the method
        changes.

        Args:
            out: Output of a cohort whose only peer is the leader, see :meth:`peerdistill.Cohort.single`.
            labels: As for :meth:`forward`.
            indices: As for :meth:`forward`.
            targets: As for :meth:`forward`.
        """
        out = self.exchange.whole_output(out, len(labels))
        batch = Batch(labels, indices, out.images, targets, self.criterion, self.exchange)
        terms = {name: term for name, term in self.terms.items() if getattr(term, "labels_only", False)}
        if terms:
            return self._sum(terms, out, batch)
        loss = self.criterion(out.logits, labels, targets)
        return Loss(loss, {"cross_entropy": loss})

    def _sum(self, terms: Mapping[str, nn.Module] | nn.ModuleDict, out: CohortOutput, batch: Batch) -> Loss:
        """Return the weighted sum of some of the terms."""
        inputs = self._inputs(out, batch)
        weights = dict(zip(self.terms, self.current_weights, strict=True))
        parts = {name: weights[name] * term(*inputs[name]) for name, term in terms.items()}
        return Loss(torch.stack(list(parts.values())).sum(), parts)

    def _inputs(self, out: CohortOutput, batch: Batch) -> dict[str, tuple[CohortOutput, Batch]]:
        """Return what each term receives: the whole batch, or the batch without its mixed samples."""
        inputs = dict.fromkeys(self.terms, (out, batch))
        if batch.mixed and self.clean_terms:
            self.check_mixing(batch.mixed, len(batch.labels))
            inputs |= dict.fromkeys(self.clean_terms, (out.samples_from(batch.mixed), batch.clean()))
        return inputs

    def check_mixing(self, mixed: int, samples: int) -> None:
        """Raise UserError if a term needs clean images and all ``samples`` of a batch are mixed."""
        if mixed == samples and self.clean_terms:
            raise UserError(
                f"'{self.clean_terms[0]}' does not accept mixed images, and all {samples} images of a batch are mixed: "
                "set a smaller mix.share, or set mix.mixup and mix.cutmix to 0"
            )

    def _check_loop(self) -> None:
        """Raise UserError if the training loop omits a call that the loss depends on."""
        if self.epoch is None and self.ramps:
            name, ramp = next(iter(self.ramps.items()))
            raise UserError(
                f"the weight of '{name}' ramps up over {ramp.epochs} epochs: "
                "call method.start_epoch(epoch) before each epoch, counted from 0"
            )
        if self._batches_since_step >= self.batches_per_step and self._followers:
            raise UserError(
                f"'{next(iter(self._followers))}' follows the peers' weights: call method.after_step(cohort) after "
                "each optimiser step"
            )
        self._batches_since_step += 1

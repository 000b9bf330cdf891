"""A method: weighted terms, and the way the peers form their ensemble."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.errors import UserError
from peerdistill.terms.ensemble import mean_logits


class Loss(NamedTuple):
    """What a method says of a batch.

    Attributes:
        total: The scalar to minimise.
        parts: Each term's weighted share by name; they add up to ``total``.
    """

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]


class Weighted(NamedTuple):
    """A term in its place: its name among the parts of the loss, and its weight.

    The term is called with a cohort's output, the labels and the samples' indices, and returns a scalar.
    """

    name: str
    weight: float
    term: nn.Module


class Method(nn.Module):
    """A weighted sum of terms.

    Whatever a term owns (embedding heads, a memory bank) is a parameter or buffer of the method: it is trained and
    checkpointed with it, and no part of the deployed leader.

    Args:
        terms: The terms. One of weight 0 is left out: it costs nothing and owns nothing.
        ensemble: Forms the ensemble's logits (batch, classes) from a cohort's output.

    Raises:
        UserError: For a negative weight, two terms of one name, or where no term is left.
    """

    def __init__(
        self,
        terms: Iterable[Weighted],
        ensemble: Callable[[CohortOutput], Float[Tensor, "batch classes"]] = mean_logits,
    ):
        super().__init__()
        terms = list(terms)
        for name, weight, _ in terms:
            if weight < 0:
                raise UserError(f"the weight of '{name}' must be at least 0, found {weight}")
        if len({term.name for term in terms}) < len(terms):
            raise UserError(f"the terms of a method need different names, found {[term.name for term in terms]}")
        kept = [term for term in terms if term.weight > 0]
        if not kept:
            raise UserError("a method needs at least one term of a weight above 0")
        self.weights = {term.name: term.weight for term in kept}
        self.terms = nn.ModuleDict({term.name: term.term for term in kept})
        self.ensemble = ensemble

    def forward(self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]) -> Loss:
        """Return the loss of a batch.

        Args:
            out: What the cohort put out.
            labels: Class of every sample.
            indices: Row of every sample in the training set, the rows of memory banks.
        """
        parts = {name: self.weights[name] * term(out, labels, indices) for name, term in self.terms.items()}
        return Loss(torch.stack(list(parts.values())).sum(), parts)

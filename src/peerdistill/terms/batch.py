"""A batch as terms see it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jaxtyping import Int
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch as terms see it.

    Attributes:
        labels: Class of every sample (B,).
        indices: Row of every sample in the training set (B,), the rows of memory banks.
        images: The images (B, channels, height, width), where the cohort's output has them.

    Example:
        >>> import torch
        >>> from peerdistill.terms import Batch
        >>> batch = Batch(labels=torch.tensor([0, 1, 0]), indices=torch.tensor([7, 2, 5]))
        >>> def same_label(batch):
        ...     print("computed")
        ...     return batch.labels[:, None] == batch.labels
        >>> batch.once(same_label, batch).sum().item()
        computed
        5
        >>> batch.once(same_label, batch).sum().item()  # a second term gets the same result
        5
    """

    labels: Int[Tensor, " batch"]
    indices: Int[Tensor, " batch"]
    images: Tensor | None = None
    _computed: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, compute: Callable[..., T], *arguments: Any) -> T:
        """Return ``compute(*arguments)``, computed for the first term that asks and shared by all others.

        Args:
            compute: A function, or a method of a module that terms share, such as
                :meth:`peerdistill.terms.InBatchScores.embeddings`.
            *arguments: The batch, the cohort's output, or what follows from them: they are the same for every term.
        """
        if compute not in self._computed:
            self._computed[compute] = compute(*arguments)
        return self._computed[compute]

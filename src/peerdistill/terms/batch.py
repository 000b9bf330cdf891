"""The batch that terms receive."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.terms.criterion import Criterion
from peerdistill.terms.exchange import Exchange

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Batch:
    """The batch that terms receive, and results that they share.

    Attributes:
        labels: Class of each sample (B,).
        indices: Index of each sample in the training set (B,), which is its row in memory banks.
        images: The images (B, channels, height, width), if the output of the cohort holds them. If several processes
            train together, those of this process, see :meth:`through`.
        targets: Class distributions (K, C) of the first K samples, which are mixed images (mixup, CutMix). Their labels
            are not their classes. None: no image is mixed.
        criterion: The method's cross-entropy, as ``criterion(logits, labels, targets)``.
        exchange: What several processes that train together exchange.

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
    targets: Float[Tensor, "mixed classes"] | None = None
    criterion: Criterion = field(default_factory=Criterion)
    exchange: Exchange = field(default_factory=Exchange)
    _computed: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def mixed(self) -> int:
        """Number K of mixed samples."""
        return 0 if self.targets is None else len(self.targets)

    def clean(self) -> "Batch":
        """Return the batch without its mixed samples. It shares no results with this batch."""
        is_whole = self.images is not None and len(self.images) == len(self.labels)
        images = self.images[self.mixed :] if self.images is not None and is_whole else None
        labels, indices = self.labels[self.mixed :], self.indices[self.mixed :]
        return Batch(labels, indices, images, criterion=self.criterion, exchange=self.exchange)

    def through(self, cohort: nn.Module) -> Float[Tensor, "peers batch classes"]:
        """Return the logits of a cohort for the whole batch.

        Each of several processes computes those of its images.
        """
        assert self.images is not None, "the output of the cohort has no images"
        return self.exchange.whole(cohort(self.images).logits, len(self.labels))

    def once(self, compute: Callable[..., T], *arguments: Any) -> T:
        """Return ``compute(*arguments)``. It is computed in the first call for this batch; later calls reuse it.

        Args:
            compute: A function, or a method of a module that several terms share, such as
                :meth:`peerdistill.terms.InBatchScores.embeddings`.
            *arguments: Its arguments. They must be the same in all calls.
        """
        if compute not in self._computed:
            self._computed[compute] = compute(*arguments)
        return self._computed[compute]

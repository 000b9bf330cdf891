"""What the processes that train together exchange, so that terms see the whole batch in each of them."""

from jaxtyping import Float
from torch import Tensor

from peerdistill.cohort import CohortOutput


class Exchange:
    """The exchange of a single process: nothing. ``peerdistill.training.parallel`` has that of several processes.

    Each process computes the output of the networks for its share of the images. Terms receive the output for the whole
    batch, so that memory banks, relations between samples and ensembles are those of the whole batch. Every process
    computes the same loss. A term whose loss is a mean over samples may compute it for its :meth:`share` only.
    """

    def whole_output(self, out: CohortOutput, samples: int) -> CohortOutput:
        """Return the output for the whole batch, given that for the images of this process.

        With several processes, ``stem`` is pooled, and ``images`` are still those of this process.

        Args:
            out: The output for the images of this process.
            samples: Number of samples in the whole batch.
        """
        del samples
        return out

    def whole(
        self, values: Float[Tensor, "peers own classes"], samples: int
    ) -> Float[Tensor, "peers {samples} classes"]:
        """Return values for the whole batch of ``samples`` samples, given those for the images of this process."""
        del samples
        return values

    def share(self, samples: int) -> slice | None:
        """Return which of ``samples`` samples this process is responsible for; None: for all of them."""
        del samples
        return None

    def total(self, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return the sum of the values of all processes."""
        return value

    def reduced(self, values: Tensor) -> Tensor:
        """Return the sum over all processes of tensors of one shape, without a gradient. It may overwrite them."""
        return values

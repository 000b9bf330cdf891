"""Learning a teacher's representation by contrast against memory banks (CRD; Tian et al., ICLR 2020).

Axes: V two views, the teacher's and the student's; E embedding width.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.contrast import TeacherContrastOptions, log_normalisers
from peerdistill.errors import UserError
from peerdistill.terms.batch import Batch
from peerdistill.terms.remembered import RememberedContrast


class TeacherContrast(RememberedContrast):
    """The NCE loss of the student against the teacher's bank, plus that of the teacher against the student's.

    It is the multi-view contrast of two views, the teacher's and the leader's, each with a linear head that is trained.
    What differs is Z: that of the first batch, for good.

    Args:
        teacher_width: Width of the teacher's penultimate features.
        student_width: Width of the student's.
        train_labels: Label of every training sample.
        options: Everything else.

    Raises:
        UserError: Where the options are out of range, the labels leave no negatives, or Z would have to be found in a
            queue that is empty.
    """

    log_normalisers: Float[Tensor, "2"]

    def __init__(
        self,
        teacher_width: int,
        student_width: int,
        train_labels: Int[Tensor, " samples"],
        options: TeacherContrastOptions,
    ):
        if (options.negatives, options.objective) == ("queue", "nce"):
            raise UserError(
                "crd takes Z from its first batch, when a queue is empty yet: "
                "choose contrast.negatives own, shared or all, or contrast.objective softmax"
            )
        super().__init__([teacher_width, student_width], train_labels, options)
        # NaN until the first batch; part of the checkpoint from then on.
        self.register_buffer("log_normalisers", torch.full((2,), torch.nan))
        self._known = False

    def pairing(self, embeddings_VBE: Tensor, looked_up: dict[str, Any]) -> dict[str, Any]:
        """Return log(Z / N) of the first batch; to learn it is the only step that reads from the device."""
        if self.options.objective == "softmax":
            return {}  # which does without Z
        if not self._known and self.log_normalisers.isnan().any():  # no checkpoint has brought it
            found = log_normalisers(embeddings_VBE, **looked_up, temperature=self.options.temperature)
            self.log_normalisers.copy_(found)
        self._known = True
        return {"normaliser": self.log_normalisers}

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss of both directions, and update the memory in training mode."""
        assert out.teacher is not None
        return self.contrast((out.teacher.features[-1].detach(), out.features[-1]), batch)

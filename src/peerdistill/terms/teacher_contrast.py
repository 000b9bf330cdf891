"""Contrastive representation distillation from a teacher (CRD; Tian et al., ICLR 2020).

Axes: V = 2 views, teacher and student; B batch, E embedding width.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.contrast import TeacherContrastOptions, log_normalisers
from peerdistill.errors import UserError
from peerdistill.terms.bank_contrast import BankContrast
from peerdistill.terms.batch import Batch


class TeacherContrast(BankContrast):
    """The NCE loss of the student with the teacher's bank, plus that of the teacher with the student's bank.

    This is the multi-view contrast of two views, teacher and leader. Both have a linear head that is trained. Unlike
    there, Z is computed in the first batch and then stays constant.

    Args:
        teacher_width: Width of the teacher's penultimate features.
        student_width: Width of the student's penultimate features.
        train_labels: Label of every training sample.
        options: Options of the contrast.

    Raises:
        UserError: If an option is out of range, the labels leave no negatives, or the negatives are a queue with
            objective "nce": the queue is empty in the first batch.
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
                "crd computes Z in its first batch, when the queue is still empty: "
                "choose contrast.negatives own, shared or all, or contrast.objective softmax"
            )
        super().__init__([teacher_width, student_width], train_labels, options)
        if options.objective != "softmax":  # it has no Z
            # NaN until the first batch. Part of checkpoints.
            self.register_buffer("log_normalisers", torch.full((2,), torch.nan))
        self._known = False

    def pair_options(self, embeddings_VBE: Tensor, found: dict[str, Any]) -> dict[str, Any]:
        """Return log(Z / N) of the first batch. Only the first call waits for the device."""
        if self.options.objective == "softmax":
            return {}
        if not self._known and self.log_normalisers.isnan().any():  # not loaded from a checkpoint
            first = log_normalisers(embeddings_VBE, **found, temperature=self.options.temperature)
            self.log_normalisers.copy_(first)
        self._known = True
        return {"normaliser": self.log_normalisers}

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss of both directions, and update the memory in training mode."""
        assert out.teacher is not None
        return self.contrast((out.teacher.features[-1].detach(), out.features[-1]), batch)

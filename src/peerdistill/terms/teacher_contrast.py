"""Learning a teacher's representation by contrast against memory banks (CRD; Tian et al., ICLR 2020).

Axes: V two views, the teacher's and the student's; B batch, E embedding width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.contrast import ContrastOptions, MemoryBank, NegativeSampler, log_normalisers, multi_view_nce


class TeacherContrast(nn.Module):
    """The NCE loss of the student against the teacher's bank, plus that of the teacher against the student's.

    It is the multi-view contrast of two views, the teacher's and the leader's, each with a linear head that is trained.
    What differs is Z: that of the first batch, for good. The bank is updated in training mode, once both were scored.

    Args:
        teacher_width: Width of the teacher's penultimate features.
        student_width: Width of the student's.
        train_labels: Label of every training sample.
        options: Everything else; its normaliser and views are not used.

    Raises:
        UserError: Where the options are out of range or the labels leave no negatives.
    """

    log_normalisers: Float[Tensor, "2"]

    def __init__(
        self,
        teacher_width: int,
        student_width: int,
        train_labels: Int[Tensor, " samples"],
        options: ContrastOptions,
    ):
        super().__init__()
        options.check()
        self.options = options
        self.heads = nn.ModuleList(nn.Linear(width, options.width) for width in (teacher_width, student_width))
        self.bank = MemoryBank(2, len(train_labels), options.width, options.momentum)
        self.negatives = NegativeSampler(train_labels, options.negatives)
        # NaN until the first batch; part of the checkpoint from then on.
        self.register_buffer("log_normalisers", torch.full((2,), torch.nan))
        self._known = False

    def _learn_normalisers(self, looked_up: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
        """Take Z from the first batch, unless a checkpoint has brought it; the only step that reads from the device."""
        if self.log_normalisers.isnan().any():
            self.log_normalisers.copy_(log_normalisers(*looked_up, temperature=self.options.temperature))
        self._known = True

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the loss of both directions, and update the bank in training mode."""
        assert out.teacher is not None
        features = (out.teacher.features[-1].detach(), out.features[-1])
        embeddings_VBE = torch.stack([head(feature) for head, feature in zip(self.heads, features, strict=True)])
        negatives_BS = self.negatives(labels)
        looked_up = (embeddings_VBE, self.bank.rows, indices, negatives_BS)
        temperature = self.options.temperature
        if not self._known:
            self._learn_normalisers(looked_up)
        loss = multi_view_nce(*looked_up, temperature=temperature, normaliser=self.log_normalisers)
        if self.training:
            self.bank.update(embeddings_VBE, indices)
        return loss

"""Offline distillation from a trained teacher, whose weights stay fixed."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import Cohort, CohortOutput
from peerdistill.terms.batch import Batch
from peerdistill.terms.divergence import SoftenedTerm


class Teacher(nn.Module):
    """A trained network, or the ensemble of several, in evaluation mode, without gradient.

    Args:
        cohort: The teacher: one peer, or several that teach as their ensemble. The features of an ensemble are those of
            all peers side by side.
        scale: Factor per channel. The teacher gets ``scale * image + shift``, which converts the student's
            normalisation of images to the teacher's.
        shift: Offset per channel.
        size: Image side in pixels that the teacher was trained with. The student's images are resized to it; None
            keeps their size.
        ensemble: Returns the logits (B, C) of several peers from the output of their cohort, as the ``ensemble`` of a
            method does (default: their mean).

    Example:
        >>> import torch
        >>> from peerdistill import Cohort, methods
        >>> from peerdistill.terms import Teacher
        >>> teacher = Teacher(Cohort("resnet32", classes=10, peers=1))  # with trained weights in practice
        >>> student = Cohort("resnet20", classes=10, peers=1)
        >>> labels = torch.arange(4)
        >>> method = methods.build("kd", student, train_labels=labels, teacher=teacher)
        >>> loss = method(student(torch.rand(4, 3, 32, 32)), labels, indices=torch.arange(4))
        >>> list(loss.parts)
        ['cross_entropy', 'teacher']
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        cohort: Cohort,
        scale: Sequence[float] = (1.0,),
        shift: Sequence[float] = (0.0,),
        size: int | None = None,
        *,
        ensemble: nn.Module | None = None,
    ):
        super().__init__()
        self.size = size
        self.cohort = cohort.eval().requires_grad_(False)
        self.ensemble = None if ensemble is None else ensemble.eval().requires_grad_(False)
        self.register_buffer("scale", torch.tensor(scale).view(-1, 1, 1))
        self.register_buffer("shift", torch.tensor(shift).view(-1, 1, 1))

    @property
    def width(self) -> int:
        """Width of the teacher's penultimate features."""
        return sum(self.cohort.widths)

    def train(self, mode: bool = True) -> "Teacher":
        """Stay in evaluation mode, also if the method is set to training mode."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        """Return the teacher's output for the student's images."""
        if self.size is not None and images.shape[-1] != self.size:
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
        out: CohortOutput = self.cohort(torch.addcmul(self.shift, images, self.scale))
        return out if self.cohort.peers == 1 else self._joined(out)

    def _joined(self, out: CohortOutput) -> CohortOutput:
        """Return the output of several peers as that of one network."""
        logits_BC = out.ensemble if self.ensemble is None else self.ensemble(out)
        features_BD = torch.cat([*out.features], dim=1)
        return out._replace(logits=logits_BC[None], features=features_BD[None], ensemble=logits_BC)


class TeacherToLeader(SoftenedTerm):
    """The leader learns from the teacher's class distribution: ``KL_T(teacher -> z_M)`` (Hinton et al., 2015).

    The other peers do not learn from this term. With a single peer, the student, it is classic knowledge distillation.
    """

    accepts_mixed = True

    def __init__(self, temperature: float = 4.0):
        super().__init__(temperature)

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the leader's divergence from the teacher."""
        assert out.teacher is not None
        return self.divergence(out.teacher.logits[-1], out.logits[-1])

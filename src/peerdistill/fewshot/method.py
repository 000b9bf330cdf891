"""Methods in their few-shot form: every peer is a prototypical network (section 4.2 of the paper)."""

from typing import TYPE_CHECKING, Any

from peerdistill import methods
from peerdistill.fewshot.config import EpisodeConfig
from peerdistill.fewshot.prototypical import Prototypical
from peerdistill.terms import Method, Weighted

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort


def build_method(
    name: str, cohort: "Cohort", episodes: EpisodeConfig, *, train_labels: "Tensor", **options: Any
) -> Method:
    """Return the method called ``name`` with the prototypical loss of every peer added.

    The peers' classifiers over all training classes give the logits z_m of the method's own terms, and are trained by
    them. A method that looks at no logits but for their cross-entropy (``baseline``, ``rkd-d``, ``rkd-da``, ``crd``)
    loses that: the prototypical loss takes its place, and the classifiers are never trained.

    Args:
        name: As for :func:`peerdistill.methods.build`.
        cohort: The peers.
        episodes: Shape of the training episodes, and the weight of the prototypical loss.
        train_labels: Class of every training image (N,).
        **options: As for :func:`peerdistill.methods.build`.

    Raises:
        UserError: As :func:`peerdistill.methods.build`.
    """
    method = methods.build(name, cohort, train_labels=train_labels, **options)
    method.add(Weighted("prototypical", episodes.prototypical, lambda: Prototypical(episodes.ways, episodes.shots)))
    if not methods.find(name).uses_logits:
        method.remove("cross_entropy")
    return method

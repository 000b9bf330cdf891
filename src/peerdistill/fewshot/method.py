"""Methods for few-shot classification: every peer is a prototypical network (section 4.2 of the paper)."""

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
    """Return the method called ``name`` with the prototypical loss of every peer as a further term.

    The terms of the method use the logits of classifiers over all training classes, which they train. For a method that
    uses logits in the cross-entropy only (``baseline``, ``rkd-d``, ``rkd-da``, ``crd``), the prototypical loss replaces
    the cross-entropy, and the classifiers are not trained.

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

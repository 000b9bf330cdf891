"""The multi-view contrastive loss (eq. 6 to 11), with its gradient.

Axes: M peers, B batch, E embedding width, N samples, S negatives, L length of a queue; A the anchor peers that look
into one bank.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from peerdistill.contrast import objectives
from peerdistill.contrast.columns import Columns, bank_columns, queue_columns
from peerdistill.contrast.options import LOWEST_TEMPERATURE, Normaliser, Objective, Views
from peerdistill.contrast.scores import Look, Part
from peerdistill.errors import UserError, unknown_name
from peerdistill.numerics import min_float32, with_custom_gradient

# exp(1 / tau) up to here leaves single precision room for sums and quotients.
_SINGLE_PRECISION_TEMPERATURE = 0.025


class _How(NamedTuple):
    """How the contrast is computed, whatever the negatives are."""

    objective: Objective
    temperature: float
    normaliser: Normaliser | Tensor
    views: Views

    def check(self, peers: int) -> None:
        """Raise UserError for what is out of range, or for fewer than two peers."""
        if peers < 2:
            raise UserError(f"the contrast needs at least 2 peers, found {peers}")
        if self.temperature < LOWEST_TEMPERATURE:
            raise UserError(
                f"the contrast's temperature must be at least {LOWEST_TEMPERATURE}, found {self.temperature}"
            )
        named = {"objective": Objective, "views": Views}
        if isinstance(self.normaliser, str):
            named["normaliser"] = Normaliser
        for kind, allowed in named.items():
            if getattr(self, kind) not in get_args(allowed):
                raise unknown_name(kind, getattr(self, kind), get_args(allowed))

    def precision(self, dtype: torch.dtype) -> torch.dtype:
        """Return the precision of scores for embeddings of ``dtype``."""
        if self.temperature < _SINGLE_PRECISION_TEMPERATURE:
            return torch.float64
        return min_float32(dtype)

    def anchor_peers(self, bank_peer: int, peers: int) -> list[int]:
        """Return who looks into a bank: a bank is read once for all of them."""
        leader = peers - 1
        if self.views == "full" or bank_peer == leader:
            return [peer for peer in range(peers) if peer != bank_peer]
        return [leader]


def multi_view_nce(
    embeddings: Float[Tensor, "peers batch width"],
    banks: Float[Tensor, "peers samples width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"] | Int[Tensor, " negatives"] | Literal["all"],
    *,
    labels: Int[Tensor, " samples"] | None = None,
    objective: Objective = "nce",
    temperature: float = 0.1,
    normaliser: Normaliser | Float[Tensor, " peers"] = "anchor",
    views: Views = "full",
) -> Float[Tensor, ""]:
    """Return L_contrast: eq. 11 (or eq. 8), summed over ordered pairs of peers and averaged over the batch.

    For anchor peer a and bank peer b the positive score is that of the sample's own row of bank b, the negative
    scores those of S rows of other labels. With ``u = s - log Z - log(S / N)`` the loss of an anchor is
    ``softplus(-u_0) + sum_k softplus(u_k)``. Z is taken as a constant, so no gradient flows through it; none flows
    into the banks. The gradient comes out of the forward pass: the banks may change before ``backward``. There is no
    second derivative.

    The scores are computed tile by tile. Beyond its inputs it needs some MiB, whatever N, and the gradient (M, B, E);
    only own negatives that are many compared with N take (B, N) numbers.

    Args:
        embeddings: What each peer says of the batch, of any length (eq. 6 normalises).
        banks: Unit rows, one for each peer and training sample, in any precision.
        indices: The samples' rows in the banks.
        negatives: Rows of samples of other labels, the same for all pairs: each anchor's own; or shared by the batch,
            where those of the anchor's label are left out if ``labels`` tell; or "all" samples of other labels. S is
            the number that is left for the anchor; with none left its loss is 0.
        labels: Labels of the training samples; needed for "all", not used with own negatives.
        objective: "nce", or "softmax": ``-log p`` with p the softmax of the positive among its negatives. It has no Z.
        temperature: Temperature tau of eq. 6, at least 0.003.
        normaliser: "anchor" estimates ``Z = N * mean(h)`` for each anchor and pair (the paper, eq. 9), "batch"
            once for the whole batch and pair (the code that its authors released). A tensor holds log(Z / N) of each
            bank, known beforehand: see :func:`log_normalisers`.
        views: "full" takes all ordered pairs, "core" those with the leader, the last peer.

    Returns:
        A scalar, in float64 for float64 embeddings and in float32 for all others, whose scores are computed in
        float32 as well (below a temperature of 0.025 in float64).

    Raises:
        UserError: For fewer than two peers, no negatives, "all" without labels, a temperature that is too low, or an
            unknown objective, normaliser or views.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import MemoryBank, multi_view_nce
        >>> bank = MemoryBank(peers=2, samples=100, width=8)
        >>> embeddings = torch.randn(2, 4, 8, requires_grad=True)  # (peers, batch, width)
        >>> negatives = torch.randint(50, 100, (4, 16))  # 16 rows of other labels for each anchor
        >>> loss = multi_view_nce(embeddings, bank.rows, indices=torch.arange(4), negatives=negatives, temperature=0.1)
        >>> loss.backward()
        >>> embeddings.grad.shape
        torch.Size([2, 4, 8])
    """
    how = _How(objective, temperature, normaliser, views)
    how.check(len(embeddings))
    columns = bank_columns(banks.detach(), indices, negatives, labels, how.precision(embeddings.dtype))
    return _contrast(embeddings, banks.detach()[:, indices], columns, how)


def queue_nce(
    embeddings: Float[Tensor, "peers batch width"],
    queue: Float[Tensor, "peers length width"],
    queue_labels: Int[Tensor, " length"],
    labels: Int[Tensor, " batch"],
    *,
    objective: Objective = "nce",
    temperature: float = 0.1,
    normaliser: Normaliser = "anchor",
    views: Views = "full",
) -> Float[Tensor, ""]:
    """Return L_contrast where the negatives come from a queue of what the peers said of the latest samples.

    For data too large for a bank. A queue has no row for the sample itself: the positive of anchor peer a and peer b is
    what b says of the sample now, without gradient, in the manner of MoCo (He et al., CVPR 2020). N of eq. 9 and 10
    need not be chosen, as ``Z = N * mean(h)`` is divided by N again. All else is as in :func:`multi_view_nce`.

    Args:
        embeddings: What each peer says of the batch, of any length.
        queue: Unit rows of each peer, those in one place of the same sample.
        queue_labels: Label of each place; a negative number where it is empty yet.
        labels: Labels of the batch. S is the number of places of other labels; with none the anchor's loss is 0.
        objective: "nce" or "softmax".
        temperature: Temperature tau of eq. 6.
        normaliser: "anchor" or "batch".
        views: "full" or "core".

    Raises:
        UserError: For fewer than two peers, a temperature that is too low, or an unknown objective, normaliser or
            views.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import EmbeddingQueue, queue_nce
        >>> queue, labels = EmbeddingQueue(peers=2, length=64, width=8), torch.arange(4)
        >>> queue.push(torch.randn(2, 4, 8), labels)
        >>> embeddings = torch.randn(2, 4, 8, requires_grad=True)
        >>> queue_nce(embeddings, queue.rows, queue.labels, labels).backward()
    """
    how = _How(objective, temperature, normaliser, views)
    how.check(len(embeddings))
    columns = queue_columns(queue.detach(), queue_labels, labels, how.precision(embeddings.dtype))
    return _contrast(embeddings, None, columns, how)


@torch.no_grad()
def log_normalisers(
    embeddings: Float[Tensor, "peers batch width"],
    banks: Float[Tensor, "peers samples width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"] | Int[Tensor, " negatives"] | Literal["all"],
    *,
    labels: Int[Tensor, " samples"] | None = None,
    temperature: float = 0.1,
) -> Float[Tensor, " peers"]:
    """Return log(Z / N) of each bank: of the mean of h over all that this batch's other peers look up in it.

    Arguments as in :func:`multi_view_nce`. CRD (Tian et al., ICLR 2020) takes them from its first batch for good.
    """
    how = _How("nce", temperature, "anchor", "full")
    how.check(len(embeddings))
    columns = bank_columns(banks, indices, negatives, labels, how.precision(embeddings.dtype))
    with torch.autocast(embeddings.device.type, enabled=False):
        parts = _parts(_unit(embeddings, how), banks[:, indices], columns, how)
        log_means = [mean_A.mean().log() for mean_A in objectives.mean_h(parts)]
        return torch.stack(log_means).to(min_float32(embeddings.dtype))


def _contrast(embeddings: Tensor, positives_MBE: Tensor | None, columns: Columns, how: _How) -> Tensor:
    """Return the contrast of the embeddings with ``positives_MBE``, by default with one another, and the columns."""
    with torch.autocast(embeddings.device.type, enabled=False):
        unit_MBE = _unit(embeddings, how)
        positives_MBE = unit_MBE.detach() if positives_MBE is None else positives_MBE
        compute = partial(_value_and_gradient, positives_MBE=positives_MBE, columns=columns, how=how)
        return with_custom_gradient(compute, unit_MBE).to(min_float32(embeddings.dtype))


def _unit(embeddings: Tensor, how: _How) -> Tensor:
    return F.normalize(embeddings.to(how.precision(embeddings.dtype)), dim=-1)


def _value_and_gradient(unit_MBE: Tensor, positives_MBE: Tensor, columns: Columns, how: _How) -> tuple[Tensor, Tensor]:
    """Return the loss and its gradient with respect to the unit embeddings."""
    parts = _parts(unit_MBE, positives_MBE, columns, how)
    objective = _objective(parts, how)
    gradient_MBE = torch.zeros_like(unit_MBE)
    losses = []
    for part in parts:
        losses.append(objective(part))
        for look in part.looks:
            anchor_peers = how.anchor_peers(look.bank_peer, len(unit_MBE))
            gradient_MBE[anchor_peers, part.samples] += look.gradient_BAE.transpose(0, 1)
    batch = unit_MBE.shape[1]
    return torch.stack(losses).sum() / batch, gradient_MBE.div_(batch * how.temperature)


def _parts(unit_MBE: Tensor, positives_MBE: Tensor, columns: Columns, how: _How) -> list[Part]:
    """Return every ordered pair of peers once, in looks of all anchors into one bank."""
    peers = len(unit_MBE)

    def look(bank_peer: int, samples: slice) -> Look:
        anchors_ABE = unit_MBE[how.anchor_peers(bank_peer, peers), samples]
        anchors_BAE = (anchors_ABE / how.temperature).transpose(0, 1).contiguous()
        return Look(bank_peer, anchors_BAE, positives_MBE[bank_peer, samples].to(unit_MBE.dtype))

    return [Part(samples, [look(peer, samples) for peer in range(peers)], part) for samples, part in columns.parts()]


def _objective(parts: Sequence[Part], how: _How) -> Callable[[Part], Tensor]:
    if how.objective == "softmax":
        return objectives.softmax
    if isinstance(how.normaliser, Tensor):
        log_means = [how.normaliser[look.bank_peer] for look in parts[0].looks]
    elif how.normaliser == "batch":
        log_means = [mean_A.log() for mean_A in objectives.mean_h(parts)]
    else:
        return objectives.nce
    return partial(objectives.nce_with_known_z, log_means=log_means)

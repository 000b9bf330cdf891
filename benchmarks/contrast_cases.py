"""Inputs of the contrast benchmarks, the functions of the package and a plain formulation.

Axes: M peers, B batch, S negatives, N samples, E embedding width, K = 1 + S.
"""

from collections.abc import Callable
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from measuring import DEVICE, synchronise
from peerdistill.contrast import multi_view_nce, queue_nce

CLASSES, WIDTH, TEMPERATURE = 100, 128, 0.1
KINDS = ("own", "shared", "all", "queue")


class Case(NamedTuple):
    embeddings: Tensor
    banks: Tensor
    indices: Tensor
    labels: Tensor
    own: Tensor

    @property
    def shared(self) -> Tensor:
        return self.own[0]

    @property
    def queue(self) -> Tensor:
        return self.banks[:, : self.own.shape[1]]

    @property
    def queue_labels(self) -> Tensor:
        return self.labels[: self.own.shape[1]]


def draw_case(
    peers: int = 4, batch: int = 64, negatives: int = 16384, samples: int = 50_000, *, trained: bool = False
) -> Case:
    """Return random inputs. With ``trained``, embeddings are close to the direction of their class."""
    drawn = {"generator": torch.Generator(DEVICE).manual_seed(0), "device": DEVICE}
    labels = torch.randint(CLASSES, (samples,), **drawn)
    indices = torch.randint(samples, (batch,), **drawn)
    banks = torch.randn(peers, samples, WIDTH, **drawn)
    embeddings = torch.randn(peers, batch, WIDTH, **drawn)
    if trained:
        classes = torch.randn(CLASSES, WIDTH, **drawn)
        banks.mul_(0.5).add_(classes[labels])
        embeddings.mul_(0.5).add_(classes[labels[indices]])
    banks /= banks.norm(dim=-1, keepdim=True)  # in place, so that a second bank does not raise the peak memory
    own = torch.randint(samples, (batch, negatives), **drawn)
    return Case(embeddings.requires_grad_(), banks, indices, labels, own)


def ours(kind: str, case: Case, **how) -> Tensor:
    """The contrast of the package with a source of negatives."""
    if kind == "queue":
        return queue_nce(
            case.embeddings, case.queue, case.queue_labels, case.labels[case.indices], temperature=TEMPERATURE, **how
        )
    negatives = {"own": case.own, "shared": case.shared, "all": "all"}[kind]
    return multi_view_nce(
        case.embeddings, case.banks, case.indices, negatives, labels=case.labels, temperature=TEMPERATURE, **how
    )


def two_products(case: Case, keys: int, block: int = 2048) -> None:
    """The unavoidable arithmetic: for each bank, the scores of all anchors and keys, and the gradient."""
    anchors = case.embeddings.detach()[1:].flatten(0, 1)
    gradient = torch.zeros_like(anchors)
    buffer = anchors.new_empty(len(anchors), block)
    for bank in case.banks:
        for rows in bank[:keys].split(block):
            scores = torch.mm(anchors, rows.T, out=buffer[:, : len(rows)])
            gradient.addmm_(scores, rows)
    synchronise()


def gathered(case: Case, objective: str = "nce", kept_BS: Tensor | None = None) -> Tensor:
    """Eq. 6 to 11 (or 8) in the common formulation: gathers (B, K, E) bank rows for each ordered pair of peers.

    ``kept_BS``: 0 for negatives that an anchor ignores; by default it uses all.
    """
    samples, count = case.banks.shape[1], case.own.shape[1]
    unit_MBE = F.normalize(case.embeddings, dim=-1)
    keys_BK = torch.cat([case.indices[:, None], case.own], dim=1)
    if kept_BS is not None:
        kept_BK, count = F.pad(kept_BS, (1, 0), value=1.0), kept_BS.sum(1, keepdim=True)
    total = case.embeddings.new_zeros(())
    for anchor, bank in permutations(range(len(case.banks)), 2):
        rows_BKE = case.banks[bank][keys_BK]
        h_BK = torch.exp(torch.bmm(rows_BKE, unit_MBE[anchor, :, :, None]).squeeze(2) / TEMPERATURE)
        if kept_BS is not None:
            h_BK = h_BK * kept_BK
        if objective == "softmax":
            total = total - (h_BK[:, 0] / h_BK.sum(1)).log().mean()
            continue
        matched_BK = h_BK / (samples * h_BK.detach().sum(1, keepdim=True) / (1 + count))
        p_BK = matched_BK / (matched_BK + count / samples)
        total = total - (p_BK[:, 0].log() + torch.log1p(-p_BK[:, 1:]).sum(1)).mean()
    return total


def gathered_kind(kind: str, case: Case, objective: str) -> Tensor:
    """The plain formulation for each source of negatives: all candidates, with a mask."""
    if kind == "own":
        return gathered(case, objective)
    batch, anchor_labels = len(case.indices), case.labels[case.indices]
    candidates = case.shared if kind == "shared" else torch.arange(len(case.labels), device=DEVICE)
    if kind == "queue":  # a bank of the queue and, as positives, of the embeddings of the other peers
        current = F.normalize(case.embeddings.detach(), dim=-1)
        candidates = candidates[: case.queue.shape[1]]
        positives = len(candidates) + torch.arange(batch, device=DEVICE)
        case = case._replace(banks=torch.cat([case.queue, current], dim=1), indices=positives)
    kept_BS = case.labels[candidates] != anchor_labels[:, None]
    return gathered(case._replace(own=candidates.expand(batch, -1)), objective, kept_BS.to(case.embeddings.dtype))


def forward_backward(formulation: Callable[[Case], Tensor], case: Case) -> tuple[float, Tensor]:
    case.embeddings.grad = None
    loss = formulation(case)
    loss.backward()
    gradient = case.embeddings.grad
    assert gradient is not None
    synchronise()
    return loss.item(), gradient

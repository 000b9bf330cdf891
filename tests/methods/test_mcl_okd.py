"""MCL-OKD against eq. 1 to 12 of the paper, written in NumPy."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from peerdistill import methods
from peerdistill.contrast import ContrastOptions

TRAIN_LABELS = torch.arange(60) % 5
FEW = ContrastOptions(count=12, width=8)


def log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def equation_12(logits, embeddings, banks, labels, indices, negatives, *, T=3.0, beta=0.025, tau=0.1):
    """Return the three parts of the paper's objective."""
    peers, batch, _ = logits.shape
    N, S = banks.shape[1], negatives.shape[1]
    cross_entropy = -log_softmax(logits)[:, range(batch), labels].mean(1).sum()  # eq. 1, 2
    log_leader, log_ensemble = log_softmax(logits[-1] / T), log_softmax(logits.mean(0) / T)  # eq. 3, 4
    divergence = (np.exp(log_ensemble) * (log_ensemble - log_leader)).sum(1).mean()  # eq. 5
    contrast = 0.0
    for a, b in permutations(range(peers), 2):
        for i in range(batch):
            g_a, g_b = embeddings[a, i], banks[b, [indices[i], *negatives[i]]]
            h = np.exp(g_b @ g_a / np.linalg.norm(g_b, axis=1) / np.linalg.norm(g_a) / tau)  # eq. 6
            Z = N * h.mean()  # eq. 9
            p = (h / Z) / (h / Z + S / N)  # eq. 10
            contrast -= (np.log(p[0]) + np.log(1 - p[1:]).sum()) / batch  # eq. 11
    return {"cross_entropy": cross_entropy, "ensemble": T**2 * divergence, "contrast": beta * contrast}


def test_loss_is_equation_12(cohort, batch):
    cohort, (images, labels, indices) = cohort.double(), batch
    method = methods.mcl_okd(cohort, train_labels=TRAIN_LABELS, contrast=FEW).double()
    term = method.terms["contrast"]
    term.memory.bank.rows.copy_(F.normalize(term.memory.bank.rows, dim=-1))  # unit length in float64
    draws = []
    term.memory.sampler.register_forward_hook(lambda module, args, output: draws.append(output.numpy()))
    banks = term.memory.bank.rows.numpy().copy()
    out = cohort(images.double())
    loss = method(out, labels, indices)
    embeddings = np.stack(
        [head(features).detach().numpy() for head, features in zip(term.heads, out.features, strict=True)]
    )
    expected = equation_12(out.logits.detach().numpy(), embeddings, banks, labels.numpy(), indices.numpy(), draws[0])
    assert list(loss.parts) == list(expected)
    for name, part in expected.items():
        assert loss.parts[name].item() == pytest.approx(part, rel=1e-10)
    assert loss.total.item() == pytest.approx(sum(expected.values()), rel=1e-10)


def test_all_parameters_get_a_gradient(cohort, batch):
    images, labels, indices = batch
    method = methods.mcl_okd(cohort, train_labels=TRAIN_LABELS, contrast=FEW)
    method(cohort(images), labels, indices).total.backward()
    for module in (cohort, method):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_without_ensemble_and_contrast_it_is_the_baseline(cohort, batch):
    images, labels, indices = batch
    out = cohort(images)
    without_distillation = methods.mcl_okd(cohort, train_labels=TRAIN_LABELS, beta=0.0, ensemble=0.0)
    assert not without_distillation.state_dict()
    baseline = methods.baseline(cohort, train_labels=TRAIN_LABELS)(out, labels, indices)
    loss = without_distillation(out, labels, indices)
    assert list(loss.parts) == list(baseline.parts) == ["cross_entropy"]
    assert loss.total.item() == baseline.total.item()

"""The gradient of the NCE loss with constant Z, which finite differences of the loss itself would not give."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from peerdistill.contrast import multi_view_nce

OPTIONS = [
    pytest.param(normaliser, views, id=f"{normaliser}-{views}")
    for normaliser, views in itertools.product(("anchor", "batch"), ("full", "core"))
]


def loss_with_constant_z(embeddings, z_from, case, temperature, normaliser, views):
    """Eq. 6 to 11 for all pairs at once, with Z computed from the embeddings ``z_from``, without gradient.

    Axes: a anchor peers, n bank peers, b batch, k keys, e width.
    """
    peers, samples, S = len(embeddings), case.banks.shape[1], case.negatives.shape[1]
    keys = case.banks[:, torch.cat([case.indices[:, None], case.negatives], dim=1)]

    def critic(of):
        return torch.exp(torch.einsum("abe,nbke->anbk", F.normalize(of, dim=-1), keys) / temperature)

    Z = samples * critic(z_from.detach()).mean(3 if normaliser == "anchor" else (2, 3), keepdim=True)
    h = critic(embeddings)
    p = (h / Z) / (h / Z + S / samples)
    pairs = -(p[..., 0].log() + (1 - p[..., 1:]).log().sum(-1)).mean(-1)
    wanted = ~torch.eye(peers, dtype=torch.bool)
    if views == "core":
        wanted[:-1, :-1] = False
    return pairs[wanted].sum()


class ValueOfOneGradientOfTheOther(torch.autograd.Function):
    """The value of ``value(x)`` with the gradient of ``loss(x)``."""

    @staticmethod
    def forward(ctx, x, value, loss):
        ctx.save_for_backward(x)
        ctx.loss = loss
        return value(x)

    @staticmethod
    def backward(ctx, upstream):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(ctx.loss(x), x)
        return upstream * gradient, None, None


@pytest.mark.parametrize(("normaliser", "views"), OPTIONS)
@pytest.mark.parametrize("samples", [40, 200], ids=["multiplicity", "gathered"])
@pytest.mark.parametrize("size", [500, 2**20], ids=["many blocks", "one block"])
def test_gradient_is_that_of_autograd(draw_case, set_block_bytes, samples, normaliser, views, size):
    set_block_bytes(size)
    case = draw_case(batch=7, samples=samples)
    x = case.embeddings.requires_grad_()
    (ours,) = torch.autograd.grad(multi_view_nce(*case, normaliser=normaliser, views=views), x)
    plain = loss_with_constant_z(x, x, case, 0.1, normaliser, views)
    (theirs,) = torch.autograd.grad(plain, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10 * theirs.abs().max().item())


@pytest.mark.parametrize(("normaliser", "views"), OPTIONS)
@pytest.mark.parametrize("samples", [40, 200], ids=["multiplicity", "gathered"])
def test_gradcheck_with_fixed_z(draw_case, samples, normaliser, views):
    # Finite differences of the loss itself would change Z, which is a constant in the paper. So gradcheck gets its
    # values from the plain formula with Z fixed at the point itself, and the gradient from the package.
    case = draw_case(samples=samples, batch=3, width=4)

    def held(x):
        return loss_with_constant_z(x, case.embeddings, case, 0.3, normaliser, views)

    def ours(x):
        return multi_view_nce(x, *case[1:], temperature=0.3, normaliser=normaliser, views=views)

    x = case.embeddings.clone().requires_grad_()
    assert gradcheck(lambda x: ValueOfOneGradientOfTheOther.apply(x, held, ours), x)


@pytest.mark.parametrize("normaliser", ["anchor", "batch"])
def test_gradcheck_where_z_is_stationary(draw_case, normaliser):
    # Here gradcheck gets the loss itself. The keys of each anchor include the reflection of each key across the anchor:
    # equal scores, opposite gradients. Z, which depends on both in the same way, is constant to first order. The loss,
    # for which one of them is the positive, is not.
    batch = 3
    case = draw_case(peers=2, batch=batch, samples=2 * batch, width=4)
    anchors = F.normalize(case.embeddings, dim=-1).flip(0).repeat(1, 2, 1)  # of the other peer
    mirrored = 2 * (anchors * case.banks).sum(-1, keepdim=True) * anchors - case.banks
    banks = torch.cat([case.banks, mirrored], dim=1)
    own = torch.arange(batch)
    negatives = torch.stack(
        [own + 2 * batch, own + batch, own + 3 * batch], dim=1
    )  # reflection of the own row; another row and its reflection
    x = case.embeddings.clone().requires_grad_()

    def loss(x):
        return multi_view_nce(x, banks, own, negatives, temperature=0.5, normaliser=normaliser)

    assert gradcheck(loss, x)
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert gradient.abs().max() > 0.1


def test_banks_may_change_between_forward_and_backward(draw_case):
    case = draw_case()
    x = case.embeddings.requires_grad_()
    (expected,) = torch.autograd.grad(multi_view_nce(*case), x)
    loss = multi_view_nce(*case)
    case.banks.neg_()
    (gradient,) = torch.autograd.grad(loss, x)
    assert torch.equal(gradient, expected)


def test_banks_get_no_gradient(draw_case):
    case = draw_case()
    case.embeddings.requires_grad_()
    case.banks.requires_grad_()
    multi_view_nce(*case).backward()
    assert case.embeddings.grad is not None
    assert case.banks.grad is None


def test_gradient_is_multiplied_by_the_upstream_gradient(draw_case):
    case = draw_case()
    x = case.embeddings.requires_grad_()
    (one,) = torch.autograd.grad(multi_view_nce(*case), x)
    (three,) = torch.autograd.grad(3 * multi_view_nce(*case), x)
    torch.testing.assert_close(three, 3 * one)


def test_inputs_are_not_modified(draw_case):
    case = draw_case()
    before = [tensor.clone() for tensor in case]
    multi_view_nce(*case)
    for tensor, copy in zip(case, before, strict=True):
        assert torch.equal(tensor, copy)

import pytest
import torch
from torch.nn import functional as F

from peerdistill.contrast import ContrastOptions, multi_view_nce
from peerdistill.errors import UserError
from peerdistill.terms import MultiViewContrast

OPTIONS = ContrastOptions(negatives=9, temperature=0.2, width=4, momentum=0.3, normaliser="batch", views="core")
TRAIN_LABELS = torch.arange(40) % 5


@pytest.fixture
def term():
    return MultiViewContrast(peers=3, feature_width=6, train_labels=TRAIN_LABELS, options=OPTIONS).double()


@pytest.fixture
def drawn(term):
    """Every draw of negatives that the term makes."""
    draws = []
    term.negatives.register_forward_hook(lambda module, args, output: draws.append(output))
    return draws


def embedded(term, out):
    return torch.stack(
        [features @ head.weight.T + head.bias for head, features in zip(term.heads, out.features, strict=True)]
    )


def test_is_the_contrast_of_the_heads_embeddings(term, drawn, out, labels, indices):
    """``multi_view_nce`` is held to eq. 6 to 11 by its own tests, the whole of eq. 12 by those of the methods."""
    rows = term.bank.rows.clone()
    loss = term(out, labels, indices)
    (negatives,) = drawn
    assert negatives.shape == (4, 9)
    assert (TRAIN_LABELS[negatives] != labels[:, None]).all()
    expected = multi_view_nce(
        embedded(term, out), rows, indices, negatives, temperature=0.2, normaliser="batch", views="core"
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)


def test_teaches_heads_and_features_and_nothing_else(term, drawn, out, labels, indices):
    """The bank has moved by the time of ``backward``; the gradient is that of the bank that was scored."""
    rows = term.bank.rows.clone()
    term(out, labels, indices).backward()
    learnt = [out.features.grad, *(parameter.grad for parameter in term.parameters())]
    assert out.logits.grad is None
    assert out.stem.grad is None
    assert not term.bank.rows.requires_grad
    loss = multi_view_nce(
        embedded(term, out), rows, indices, drawn[0], temperature=0.2, normaliser="batch", views="core"
    )
    expected = torch.autograd.grad(loss, [out.features, *term.parameters()])
    assert all(gradient.any() for gradient in expected)
    for gradient, of_formula in zip(learnt, expected, strict=True):
        torch.testing.assert_close(gradient, of_formula, rtol=1e-10, atol=1e-12)


def test_training_moves_the_rows_of_the_batch(term, out, labels, indices):
    rows = term.bank.rows.clone()
    term(out, labels, indices)
    moved = (term.bank.rows != rows).any(-1)
    assert moved.nonzero().tolist() == [[peer, row] for peer in range(3) for row in sorted(set(indices.tolist()))]
    fresh = F.normalize(embedded(term, out)[:, 0], dim=-1)  # the sample of row 17
    expected = F.normalize(0.3 * rows[:, 17] + 0.7 * fresh, dim=-1)
    torch.testing.assert_close(term.bank.rows[:, 17], expected)


def test_evaluation_leaves_the_bank_alone(term, out, labels, indices):
    rows = term.bank.rows.clone()
    term.eval()(out, labels, indices)
    assert torch.equal(term.bank.rows, rows)


def test_checkpoint_holds_heads_and_bank(term):
    keys = [f"heads.{peer}.{kind}" for peer in range(3) for kind in ("weight", "bias")]
    assert sorted(term.state_dict()) == sorted([*keys, "bank.rows"])
    other = MultiViewContrast(3, 6, TRAIN_LABELS, OPTIONS).double()
    other.load_state_dict(term.state_dict())
    assert torch.equal(other.bank.rows, term.bank.rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_trains_under_autocast(out, labels, indices, dtype):
    term = MultiViewContrast(3, 6, TRAIN_LABELS, OPTIONS)
    lowered = out._replace(features=out.features.detach().float().requires_grad_())
    with torch.autocast("cpu", dtype=dtype):
        loss = term(lowered, labels, indices)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in term.parameters())
    torch.testing.assert_close(term.bank.rows.norm(dim=-1), torch.ones(3, 40))


def test_options_out_of_range():
    with pytest.raises(UserError, match=r"contrast\.temperature must be above 0"):
        MultiViewContrast(3, 6, TRAIN_LABELS, ContrastOptions(temperature=0.0))


def test_one_label_leaves_no_negatives():
    with pytest.raises(UserError, match="same label"):
        MultiViewContrast(3, 6, torch.zeros(8, dtype=torch.long), OPTIONS)

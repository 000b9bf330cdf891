import pytest
import torch
from torch.nn import functional as F

from peerdistill.contrast import ContrastOptions, multi_view_nce, queue_nce
from peerdistill.errors import UserError
from peerdistill.terms import Batch, MultiViewContrast

OPTIONS = ContrastOptions(count=9, temperature=0.2, width=4, momentum=0.3, normaliser="batch", views="core")
TRAIN_LABELS = torch.arange(40) % 5


@pytest.fixture
def term():
    return MultiViewContrast((6, 6, 6), TRAIN_LABELS, OPTIONS).double()


@pytest.fixture
def drawn(term):
    """All draws of negatives by the term."""
    draws = []
    term.memory.sampler.register_forward_hook(lambda module, args, output: draws.append(output))
    return draws


def embedded(term, out):
    return torch.stack(
        [features @ head.weight.T + head.bias for head, features in zip(term.heads, out.features, strict=True)]
    )


def test_is_the_contrast_of_the_heads_embeddings(term, drawn, out, labels, indices):
    """Other tests compare ``multi_view_nce`` with eq. 6 to 11 and the method with eq. 12."""
    rows = term.memory.bank.rows.clone()
    loss = term(out, Batch(labels, indices))
    (negatives,) = drawn
    assert negatives.shape == (4, 9)
    assert (TRAIN_LABELS[negatives] != labels[:, None]).all()
    expected = multi_view_nce(
        embedded(term, out), rows, indices, negatives, temperature=0.2, normaliser="batch", views="core"
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)


def test_gradient_flows_into_heads_and_features(term, drawn, out, labels, indices):
    """The gradient is that of the bank before its update, although ``backward`` runs after it."""
    rows = term.memory.bank.rows.clone()
    term(out, Batch(labels, indices)).backward()
    learnt = [out.features.grad, *(parameter.grad for parameter in term.parameters())]
    assert out.logits.grad is None
    assert out.stem.grad is None
    assert not term.memory.bank.rows.requires_grad
    loss = multi_view_nce(
        embedded(term, out), rows, indices, drawn[0], temperature=0.2, normaliser="batch", views="core"
    )
    expected = torch.autograd.grad(loss, [out.features, *term.parameters()])
    assert all(gradient.any() for gradient in expected)
    for gradient, of_formula in zip(learnt, expected, strict=True):
        torch.testing.assert_close(gradient, of_formula, rtol=1e-10, atol=1e-12)


def test_training_moves_the_rows_of_the_batch(term, out, labels, indices):
    rows = term.memory.bank.rows.clone()
    term(out, Batch(labels, indices))
    moved = (term.memory.bank.rows != rows).any(-1)
    assert moved.nonzero().tolist() == [[peer, row] for peer in range(3) for row in sorted(set(indices.tolist()))]
    fresh = F.normalize(embedded(term, out)[:, 0], dim=-1)  # the sample of row 17
    expected = F.normalize(0.3 * rows[:, 17] + 0.7 * fresh, dim=-1)
    torch.testing.assert_close(term.memory.bank.rows[:, 17], expected)


def test_evaluation_does_not_change_the_bank(term, out, labels, indices):
    rows = term.memory.bank.rows.clone()
    term.eval()(out, Batch(labels, indices))
    assert torch.equal(term.memory.bank.rows, rows)


def test_state_dict_has_heads_and_bank(term):
    keys = [f"heads.{peer}.{kind}" for peer in range(3) for kind in ("weight", "bias")]
    assert sorted(term.state_dict()) == sorted([*keys, "memory.bank.rows"])
    other = MultiViewContrast((6, 6, 6), TRAIN_LABELS, OPTIONS).double()
    other.load_state_dict(term.state_dict())
    assert torch.equal(other.memory.bank.rows, term.memory.bank.rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_trains_under_autocast(out, labels, indices, dtype):
    term = MultiViewContrast((6, 6, 6), TRAIN_LABELS, OPTIONS)
    lowered = out._replace(features=out.features.detach().float().requires_grad_())
    with torch.autocast("cpu", dtype=dtype):
        loss = term(lowered, Batch(labels, indices))
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in term.parameters())
    torch.testing.assert_close(term.memory.bank.rows.norm(dim=-1), torch.ones(3, 40))


def test_options_out_of_range():
    with pytest.raises(UserError, match=r"contrast\.temperature must be at least 0.003"):
        MultiViewContrast((6, 6, 6), TRAIN_LABELS, ContrastOptions(temperature=0.0))


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize("kind", ["shared", "all"])
def test_shared_and_all_negatives(out, labels, indices, kind, objective):
    term = of_kind(kind, objective=objective).double()
    draws = []
    term.memory.sampler.register_forward_hook(lambda module, args, output: draws.append(output))
    rows = term.memory.bank.rows.clone()
    loss = term(out, Batch(labels, indices))
    how = {"labels": TRAIN_LABELS, "objective": objective}
    expected = multi_view_nce(embedded(term, out), rows, indices, draws[0], **how)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert (draws[0] == "all") if kind == "all" else (draws[0].shape == (9,))
    assert not torch.equal(term.memory.bank.rows, rows)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_queue_holds_earlier_batches(out, labels, indices, objective):
    """The first batch has no negatives: each batch is appended after its loss was computed."""
    term = of_kind("queue", objective=objective).double()
    first, second = (term(out, Batch(labels, indices)) for _ in range(2))
    assert first.item() == pytest.approx(0, abs=1e-12)
    embeddings = embedded(term, out)
    rows = F.normalize(embeddings.detach(), dim=-1)
    assert second.item() == pytest.approx(
        queue_nce(embeddings, rows, labels, labels, objective=objective).item(), rel=1e-10
    )
    assert term.memory.queue.labels.tolist() == [*labels.tolist(), *labels.tolist(), -1]
    second.backward()
    assert all(head.weight.grad.any() for head in term.heads)


def test_evaluation_does_not_change_the_queue(out, labels, indices):
    term = of_kind("queue").double().eval()
    term(out, Batch(labels, indices))
    assert term.memory.queue.labels.tolist() == [-1] * 9


def test_state_dict_restores_the_queue(out, labels, indices):
    term, other = of_kind("queue").double(), of_kind("queue").double()
    for _ in range(3):  # more than the queue holds
        term(out, Batch(labels, indices))
    other.load_state_dict(term.state_dict())
    for _ in range(2):
        assert other(out, Batch(labels, indices)).item() == term(out, Batch(labels, indices)).item()
    for name, buffer in term.memory.queue.named_buffers():
        assert torch.equal(buffer, other.memory.queue.get_buffer(name))


@pytest.mark.parametrize("kind", ["own", "shared", "all", "queue"])
def test_memory_of_half_precision(out, labels, indices, kind):
    term = of_kind(kind, bank_dtype="bfloat16")
    out = out._replace(features=out.features.detach().float())
    losses = [term(out, Batch(labels, indices)) for _ in range(2)]
    losses[1].backward()
    assert losses[1].dtype == torch.float32
    assert all(head.weight.grad.isfinite().all() for head in term.heads)


def of_kind(kind, **options):
    return MultiViewContrast((6, 6, 6), TRAIN_LABELS, ContrastOptions(negatives=kind, count=9, width=4, **options))

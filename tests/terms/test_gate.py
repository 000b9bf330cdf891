import torch

from peerdistill.terms import EnsembleCrossEntropy, EnsembleToPeers, GatedEnsemble, Method, Weighted


def gate():
    torch.manual_seed(0)
    return GatedEnsemble(peers=3, stem_channels=2).double()


def test_is_the_mean_weighted_by_the_gate(out):
    """With the batch norm written out."""
    ensemble = gate()
    linear, norm, _ = ensemble.gate
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.3, -0.2, 0.1]))
    pooled = out.stem.mean(dim=(2, 3))
    scores = pooled @ linear.weight.T + linear.bias
    scores = (scores - scores.mean(0)) / (scores.var(0, unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias
    weights = scores.clamp(min=0).exp()
    weights = weights / weights.sum(1, keepdim=True)
    expected = sum(weights[:, m, None] * out.logits[m] for m in range(3))
    torch.testing.assert_close(ensemble(out), expected)


def test_equal_gates_give_the_mean(out):
    ensemble = gate()
    with torch.no_grad():
        ensemble.gate[1].weight.zero_()
    torch.testing.assert_close(ensemble(out), out.logits.mean(0))


def test_the_gate_learns_only_from_labels(out, labels, indices):
    ensemble = gate()
    Method([Weighted("ensemble", 1.0, EnsembleToPeers())], ensemble)(out, labels, indices).total.backward()
    assert all(parameter.grad is None for parameter in ensemble.parameters())
    Method([Weighted("labels", 1.0, EnsembleCrossEntropy())], ensemble)(out, labels, indices).total.backward()
    assert all(parameter.grad is not None for parameter in ensemble.parameters())


def test_the_gate_runs_once_per_batch(out, labels, indices):
    ensemble = gate()
    terms = [Weighted("labels", 1.0, EnsembleCrossEntropy()), Weighted("peers", 1.0, EnsembleToPeers())]
    Method(terms, ensemble)(out, labels, indices)
    assert ensemble.gate[1].num_batches_tracked == 1

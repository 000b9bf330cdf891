import torch
from torch import nn

from peerdistill.terms import Batch, Method, Weighted


class Shared(nn.Module):
    """A module that two terms share."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def norm(self, out):
        self.calls += 1
        return out.features.norm()


class NeedsNorm(nn.Module):
    """A term that needs a result of the shared module."""

    def __init__(self, shared, batches):
        super().__init__()
        self.shared, self.batches = shared, batches

    def forward(self, out, batch):
        self.batches.append(batch)
        return batch.once(self.shared.norm, out)


def test_terms_share_results_within_a_batch(out, labels, indices):
    shared, other, batches = Shared(), Shared(), []
    modules = {"a": shared, "b": shared, "c": other}
    method = Method([Weighted(name, 1.0, NeedsNorm(of, batches)) for name, of in modules.items()])
    out = out._replace(images=torch.zeros(4, 1, 2, 2))
    loss = method(out, labels, indices)
    assert loss.parts["a"].item() == loss.parts["c"].item() == out.features.norm().item()
    assert (shared.calls, other.calls) == (1, 1)
    assert batches[0] is batches[1] is batches[2]
    assert batches[0].labels is labels
    assert batches[0].indices is indices
    assert batches[0].images is out.images
    method(out, labels, indices)
    assert shared.calls == 2


def test_none_is_computed_once_too(labels, indices):
    calls = []
    batch = Batch(labels, indices)
    assert [batch.once(calls.append, 1) for _ in range(2)] == [None, None]
    assert calls == [1]

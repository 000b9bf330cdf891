import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill import CohortOutput
from peerdistill.fewshot import Prototypical, nearness, prototypical_logits
from peerdistill.terms import Batch


def naive_loss_and_accuracy(features: list, ways: int, shots: int) -> tuple[float, float]:
    """Equations 1 and 2 of Snell et al. in plain Python, over lists: an episode's images class by class."""
    per_class = len(features) // ways
    classes = [features[k * per_class : (k + 1) * per_class] for k in range(ways)]
    prototypes = [[sum(column) / shots for column in zip(*images[:shots], strict=True)] for images in classes]
    losses, right = [], 0
    for k, images in enumerate(classes):
        for query in images[shots:]:
            distances = [sum((q - c) ** 2 for q, c in zip(query, mean, strict=True)) for mean in prototypes]
            losses.append(distances[k] + math.log(sum(math.exp(-distance) for distance in distances)))
            right += distances[k] == min(distances)
    return sum(losses) / len(losses), right / len(losses)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def output(features: torch.Tensor) -> CohortOutput:
    logits = draw(len(features), features.shape[1], 3, seed=9).requires_grad_()
    return CohortOutput(logits, features, features[0], logits.mean(0))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_loss_and_accuracy_are_those_of_a_plain_loop(ways, shots, queries, peers, seed):
    features = draw(peers, ways * (shots + queries), 6, seed=seed)
    naive = [naive_loss_and_accuracy(peer.tolist(), ways, shots) for peer in features]
    labels = torch.zeros(features.shape[1], dtype=torch.long)
    loss = Prototypical(ways, shots)(output(features), Batch(labels, labels))
    assert loss.item() == pytest.approx(sum(of_peer for of_peer, _ in naive), rel=1e-10)
    logits = prototypical_logits(features.unflatten(1, (ways, -1)), shots)
    assert logits.shape == (peers, ways, queries, ways)
    right = (logits.argmax(-1) == torch.arange(ways)[:, None]).double().mean((1, 2))
    assert right.tolist() == pytest.approx([accuracy for _, accuracy in naive], rel=1e-10)


def test_nearness_is_minus_the_squared_distance():
    query, prototypes = draw(4, 7, 5), draw(4, 3, 5, seed=1)
    expected = -torch.cdist(query, prototypes).square()
    torch.testing.assert_close(nearness(query, prototypes), expected, rtol=1e-10, atol=1e-10)


def test_every_peer_learns_from_its_own_episode_alone():
    features = draw(3, 12, 6).requires_grad_()
    out = output(features)
    labels = torch.zeros(12, dtype=torch.long)
    Prototypical(3, 1)(out, Batch(labels, labels)).backward()
    assert out.logits.grad is None
    for peer in range(3):
        alone = features[peer].detach().requires_grad_()
        Prototypical(3, 1)(output(alone[None]), Batch(labels, labels)).backward()
        torch.testing.assert_close(features.grad[peer], alone.grad, rtol=1e-10, atol=1e-12)
        assert alone.grad.any()


def test_support_and_query_learn():
    labels = torch.zeros(8, dtype=torch.long)
    features = draw(2, 8, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda features: Prototypical(2, 2)(output(features), Batch(labels, labels)), features
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_distances_are_taken_in_float32_under_autocast(dtype):
    """Far from the origin half precision would lose the differences of squares altogether."""
    features = (draw(1, 10, 16) + 30).to(dtype)
    labels = torch.zeros(10, dtype=torch.long)
    with torch.autocast("cpu", dtype=dtype):
        loss = Prototypical(5, 1)(output(features), Batch(labels, labels))
    assert loss.dtype == torch.float32
    expected = Prototypical(5, 1)(output(features.double()), Batch(labels, labels))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)

import math
import statistics

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from peerdistill.errors import UserError
from peerdistill.fewshot import (
    EpisodeEvaluator,
    EpisodeSet,
    EpisodeShape,
    accuracies,
    evaluation,
    mean_and_interval,
    summary,
)
from peerdistill.fewshot.dataset import ClassSplit
from peerdistill.shares import Share
from peerdistill.terms import MeanEnsemble


@pytest.fixture
def make_episodes(digits, normaliser):
    """Return a function that draws episodes of the test split."""

    def make(ways=3, shots=2, queries=4, episodes=30, seed=0) -> EpisodeSet:
        return EpisodeSet.draw(digits.test, EpisodeShape(ways, shots, queries), episodes, seed, normaliser, "test")

    return make


def naive_accuracies(features: list, one: EpisodeSet) -> list[float]:
    """Share of queries whose class mean is nearest, in every episode, in plain Python over float64 lists."""
    found = []
    for support, query in zip(one.episodes.support.tolist(), one.episodes.query.tolist(), strict=True):
        means = [[sum(c) / len(rows) for c in zip(*(features[row] for row in rows), strict=True)] for rows in support]
        right = 0
        for k, rows in enumerate(query):
            for row in rows:
                apart = [math.dist(features[row], mean) ** 2 for mean in means]
                right += apart[k] == min(apart)
        found.append(right / (len(query) * len(query[0])))
    return found


def encoded(cohort, digits, normaliser) -> list[list[list[float]]]:
    """Features of all test images by every peer, one image at a time."""
    cohort.eval()
    with torch.no_grad():
        images = [normaliser(image[None]) for image in digits.test.images]
        return torch.cat([cohort(image).features for image in images], dim=1).double().tolist()


@pytest.mark.parametrize("at_once", [1, 2**23])
def test_every_predictor_is_that_of_a_plain_loop(make_cohort, make_episodes, digits, normaliser, monkeypatch, at_once):
    monkeypatch.setattr(evaluation, "_FLOATS_AT_ONCE", at_once)
    cohort, one = make_cohort(peers=3), make_episodes()
    (found,) = accuracies(cohort, [one])
    peers = encoded(cohort, digits, normaliser)
    together = [[*first, *second, *third] for first, second, third in zip(*peers, strict=True)]
    for predictor, features in zip(found, [*peers, together], strict=True):
        assert predictor.tolist() == pytest.approx(naive_accuracies(features, one), rel=1e-10)


class Largest(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_episodes_of_many_ways_are_judged_in_bounded_memory(make_cohort, normaliser):
    ways, queries, peers, episodes = 200, 5, 2, 40
    labels = torch.arange(ways).repeat_interleave(1 + queries)
    images = torch.randint(256, (len(labels), 1, 16, 16), dtype=torch.uint8)
    split = ClassSplit(images, labels, tuple(map(str, range(ways))))
    one = EpisodeSet.draw(split, EpisodeShape(ways, 1, queries), episodes, 0, normaliser, "test")
    with Largest() as largest:
        accuracies(make_cohort(peers=peers), [one])
    assert largest.elements <= evaluation._FLOATS_AT_ONCE < episodes * (peers + 1) * ways * queries * ways


def test_each_image_is_encoded_once_for_all_sets(make_cohort, make_episodes, digits):
    cohort = make_cohort()
    seen = []
    cohort.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    sets = [make_episodes(), make_episodes(ways=2, shots=1, episodes=50, seed=3)]
    together = accuracies(cohort, sets)
    assert sum(seen) == len(digits.test)
    for one, found in zip(sets, together, strict=True):
        assert torch.equal(accuracies(cohort, [one])[0], found)


def test_processes_that_share_the_images_find_what_one_finds(make_cohort, make_episodes):
    cohort, sets = make_cohort(peers=2), [make_episodes(), make_episodes(ways=2, episodes=50, seed=3)]
    seen = []
    cohort.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    expected = accuracies(cohort, sets)
    alone, shares = sum(seen), [Share(number, processes=3) for number in range(3)]
    seen.clear()
    sent = [[] for _ in shares]  # what each process adds to the sums
    for share, own in zip(shares, sent, strict=True):
        accuracies(cohort, sets, share, lambda part, own=own: own.append(part.clone()) or part)
    assert sum(seen) == alone
    assert max(seen) <= math.ceil(alone / 3)
    for share in shares:
        sums = iter(zip(*sent, strict=True))
        for found, of_one in zip(
            accuracies(cohort, sets, share, lambda _, of=sums: torch.stack(next(of)).sum(0)), expected, strict=True
        ):
            assert torch.equal(found, of_one)


def test_only_images_that_occur_are_encoded(make_cohort, make_episodes):
    cohort, one = make_cohort(), make_episodes(ways=2, shots=1, queries=1, episodes=2)
    seen = []
    cohort.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    accuracies(cohort, [one])
    assert sum(seen) == len(one.episodes.rows.unique())


def test_means_and_intervals_are_those_of_the_episodes(make_cohort, make_episodes):
    cohort, one = make_cohort(), make_episodes(seed=7)
    found = EpisodeEvaluator(one)(cohort, MeanEnsemble())
    (by_episode,) = accuracies(cohort, [one])
    assert len(found.peers) == 2
    for predictor, values in zip((*found.peers, found.ensemble), by_episode.tolist(), strict=True):
        assert predictor.top1 == pytest.approx(100 * statistics.mean(values))
        assert predictor.interval95 == pytest.approx(100 * 1.96 * statistics.stdev(values) / math.sqrt(30))
        assert predictor.top5 is None
    assert found.leader == found.peers[-1]
    told = found.as_dict()
    asked = {"ways": 3, "shots": 2, "queries": 4, "episodes": 30, "seed": 7, "samples": 30 * 3 * 4}
    assert {name: told[name] for name in asked} == asked
    assert set(told) == {*asked, "peers", "leader", "ensemble"}
    assert set(told["leader"]) == {"top1", "interval95"}


def test_the_interval_covers_the_mean_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(2000):
        mean, interval = mean_and_interval(torch.rand(50, generator=generator, dtype=torch.float64))
        inside += abs(mean - 0.5) <= interval
    assert 0.93 < inside / 2000 < 0.97


def test_peers_are_judged_in_evaluation_mode_and_left_as_they_were(make_cohort, make_episodes):
    cohort, one = make_cohort().train(), make_episodes()
    statistics_before = {name: value.clone() for name, value in cohort.named_buffers()}
    found = summary(accuracies(cohort, [one])[0], one)
    assert all(module.training for module in cohort.modules())
    for name, value in cohort.named_buffers():
        assert torch.equal(value, statistics_before[name])
    assert found == summary(accuracies(cohort.eval(), [one])[0], one)


def test_a_perfect_encoder_is_always_right(digits, make_episodes, make_cohort):
    """Features that tell the class of a test image by the image itself."""
    known = {
        image.numpy().tobytes(): label
        for image, label in zip(digits.test.images, digits.test.labels.tolist(), strict=True)
    }

    class Oracle(nn.Module):
        def forward(self, images):
            pixels = (images * digits.std[0] + digits.mean[0]).mul(255).round().byte()
            labels = torch.tensor([known[image.numpy().tobytes()] for image in pixels])
            out = make_cohort(peers=1)(images)
            return out._replace(features=nn.functional.one_hot(labels, 3)[None])

    (found,) = accuracies(Oracle(), [make_episodes()])
    assert (found == 1).all()


def test_an_interval_needs_two_episodes(make_episodes):
    with pytest.raises(UserError, match="the 95 % interval of test episodes needs at least 2 episodes, found 1"):
        make_episodes(episodes=1)

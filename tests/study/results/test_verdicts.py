import numpy as np
import pytest

from peerdistill.study.results.verdicts import judge


def means(*values: float) -> dict[int, np.ndarray]:
    return {seed: np.array([value], dtype=float) for seed, value in enumerate(values)}


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        # Differences 1, 1.5 and 2: mean 1.5, half width 4.303 x 0.5 / sqrt(3) = 1.242.
        (
            means(75, 76.5, 78),
            "A's leader is better than B by 1.50 points (95 % interval 0.26 to 2.74, 3 seeds, better with 3 of 3)",
        ),
        (
            means(73, 73.5, 74),
            "A's leader is worse than B by 1.50 points (95 % interval 0.26 to 2.74, 3 seeds, better with 0 of 3)",
        ),
        # Differences 0, 1 and 2: half width 2.484.
        (
            means(74, 76, 78),
            "A's leader and B are not told apart: +1.00 points (95 % interval -1.48 to +3.48, 3 seeds, "
            "better with 2.5 of 3)",
        ),
        (means(75, 76.5), "A's leader and B: too few seeds (2) to compare"),
        ({}, "A's leader and B: too few seeds (0) to compare"),
        (
            means(75, 76, 77),
            "the difference between A's leader and B is +1.00 points with each of 3 seeds: no interval can be computed",
        ),
        (means(74, 75, 76), "A's leader and B are equal with each of 3 seeds: no interval can be computed"),
    ],
)
def test_a_claim_is_one_sentence_with_its_interval(ours, sentence):
    found = judge("A's leader", "B", ours, means(74, 75, 76))
    assert found.sentence == sentence
    assert found.as_dict()["sentence"] == sentence
    assert found.seeds == tuple(range(len(ours)))


def test_only_seeds_that_both_have_are_paired():
    ours = {seed: np.array([70.0 + seed % 2]) for seed in range(1, 6)}
    found = judge("A", "B", ours, means(*[69.0] * 4))
    assert found.seeds == (1, 2, 3)
    assert found.interval is not None
    assert found.interval.mean == pytest.approx(5 / 3)


def test_episodes_are_paired_within_seeds():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(60, 8, 200)  # all seeds share the episodes
    base = {seed: difficulty + rng.normal(0, 4, 200) for seed in range(3)}
    ours = {seed: difficulty + rng.normal(2, 4, 200) for seed in range(3)}
    found = judge("A's leader", "B", ours, base)
    assert found.outcome == "better"
    assert "3 seeds, 200 episodes, better with 3 of 3" in found.sentence
    # Not paired, the differences of the episodes would hide it.
    order = rng.permutation(200)
    mixed = judge("A's leader", "B", ours, {seed: of_seed[order] for seed, of_seed in base.items()})
    assert found.interval is not None
    assert mixed.interval is not None
    assert mixed.interval.mean == pytest.approx(found.interval.mean)
    assert mixed.interval.high - mixed.interval.low > 1.2 * (found.interval.high - found.interval.low)


def test_one_seed_has_an_interval_over_its_episodes_and_no_claim():
    rng = np.random.default_rng(0)
    base = rng.normal(60, 8, 200)
    found = judge("A's leader", "B", {0: base + rng.normal(2, 4, 200)}, {0: base})
    assert found.outcome == "too few seeds"
    assert found.sentence.startswith("A's leader and B: too few seeds (1) to compare; +")
    assert "over 200 episodes, not over seeds)" in found.sentence


def test_means_are_compared_if_only_one_side_has_its_episodes():
    """The episodes of one side have an interval that says nothing of the difference."""
    ours, theirs = {seed: np.linspace(40, 80 + seed, 50) for seed in range(3)}, means(60, 59, 59)
    of_means = {seed: np.array([values.mean()]) for seed, values in ours.items()}
    assert judge("A", "B", ours, theirs).sentence == judge("A", "B", of_means, theirs).sentence
    fewer = {**ours, 2: ours[2][:40]}
    assert judge("A", "B", fewer, ours).samples == 1


def test_the_bootstrap_of_scipy_stands_beside_for_reference():
    found = judge("A", "B", means(75, 76.5, 78), means(74, 75, 76)).as_dict()
    low, high = found["bootstrap"]
    assert 1 <= low < high <= 2  # it cannot leave the range of three differences: too narrow to decide
    assert found["interval"]["low"] < low
    assert found["improvement"]["probability"] == 1

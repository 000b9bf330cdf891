from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from peerdistill.errors import UserError
from peerdistill.study.comparison import class_runs, compare
from peerdistill.study.comparison.compare import mcnemar
from peerdistill.study.comparison.terminal import render
from support.console import printed, silent_console


def shown(comparison) -> str:
    console = silent_console()
    console.print(render(comparison))
    return " ".join(printed(console).split())


@given(answers=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_test_of_mcnemar_is_the_binomial_test_of_the_images_with_one_right_answer(answers):
    found = mcnemar(*np.array(answers).T)
    first, second = answers.count((True, False)), answers.count((False, True))
    assert (found.only_first, found.only_second) == (first, second)
    count = first + second
    tail = sum(comb(count, k) for k in range(min(first, second) + 1)) / 2**count
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_runs_are_compared_with_the_first_on_the_same_images(finished, draw):
    before, after = draw(0.6), draw(0.7)
    runs = [finished("plain", before), finished("peers", after, method="dml", peers=2, lr=0.01)]
    found = compare(class_runs(runs))
    (pair,) = found.pairs
    difference = 100.0 * after - 100.0 * before
    expected = stats.bootstrap((difference,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    assert pair.interval.mean == pytest.approx(difference.mean())
    assert (pair.interval.low, pair.interval.high) == (expected.low, expected.high)
    assert pair.mcnemar == mcnemar(before, after)
    assert found.verdicts == ()  # one seed each: nothing can be said about seeds


def test_only_options_that_differ_are_listed(finished, draw):
    runs = [finished("plain", draw(0.6), seed=1), finished("longer", draw(0.6), seed=2, epochs=50)]
    found = compare(class_runs(runs)).as_dict()
    assert found["differences"] == {"epochs": {"plain": 20, "longer": 50}}
    assert [(one["seed"], one["epochs"]) for one in found["results"]] == [(1, 20), (2, 50)]


def test_time_of_a_training_is_cpu_time_on_a_cpu_and_elapsed_time_elsewhere(finished, draw):
    devices = {"unknown": None, "cpu": "cpu", "cuda": "cuda:0"}
    runs = [finished(name, draw(0.6), trained_on=device) for name, device in devices.items()]
    found = compare(class_runs(runs)).as_dict()["results"]
    assert [(one["device"], one["training_time"]) for one in found] == [(None, 12.3), ("cpu", 12.3), ("cuda:0", 8.1)]


def test_a_damaged_environment_is_an_error(finished, draw):
    runs = [finished("whole", draw(0.6)), finished("damaged", draw(0.6))]
    runs[1].environment_file.write_text("[]")
    with pytest.raises(UserError, match=r"damaged/environment\.json cannot be read: it holds no JSON object"):
        compare(class_runs(runs)).as_dict()


def test_seeds_of_a_configuration_form_a_group_with_a_verdict(finished, draw):
    plain = [finished(f"plain-s{seed}", draw(0.6), seed=seed) for seed in range(3)]
    peers = [finished(f"peers-s{seed}", draw(0.8), seed=seed, method="dml", peers=2) for seed in range(4)]
    found = compare(class_runs([*plain, *peers]))
    assert {one.name: one.seeds for one in found.configurations} == {"plain": (0, 1, 2), "peers": (0, 1, 2, 3)}
    assert "seed" not in found.differences
    (verdict,) = found.verdicts
    assert (verdict.outcome, verdict.seeds, verdict.samples) == ("better", (0, 1, 2), 200)
    assert verdict.sentence.startswith("the leader of peers is better than the leader of plain by ")
    text = shown(found)
    for words in (verdict.sentence, "the uncertainty of the choice of images, not of the training seed", "McNemar p"):
        assert words in text


def test_seeds_of_one_configuration_have_no_verdict(finished, draw):
    found = compare(class_runs([finished(f"plain-s{seed}", draw(0.6), seed=seed) for seed in range(3)]))
    assert found.verdicts == ()
    assert "All runs have the same configuration; seeds 0, 1, 2." in shown(found)


def test_configurations_with_equal_folder_names_stay_apart(finished, draw, tmp_path):
    (tmp_path / "other").mkdir()
    runs = [finished("run", draw(0.6)), finished("other/run", draw(0.6), epochs=5)]
    assert [one.name for one in compare(class_runs(runs)).configurations] == ["run (1)", "run (2)"]


def test_runs_on_other_images_are_refused(finished, draw):
    first = finished("first", draw(0.5))
    with pytest.raises(UserError, match="evaluated on different images or classes"):
        class_runs([first, finished("second", draw(0.5), labels=np.zeros(200, dtype=int))])


def test_an_unfinished_run_is_refused(finished, draw):
    first, second = finished("first", draw(0.5)), finished("second", draw(0.5))
    second.result_file.unlink()
    with pytest.raises(UserError, match="second is not finished: train it to the end"):
        class_runs([first, second])
    with pytest.raises(UserError, match="has no best epoch"):
        class_runs([first, first], "best")


def test_students_whose_teachers_differ_in_their_seed_form_a_group(finished, draw):
    students = [
        finished(f"student-s{seed}", draw(0.6), seed=seed, method="kd", teacher=f"runs/teacher-s{seed}")
        for seed in range(3)
    ]
    other = finished("other", draw(0.6), seed=0, method="kd", teacher="runs/large")
    groups = compare(class_runs([*students, other])).configurations
    assert [(one.name, one.seeds) for one in groups] == [("student", (0, 1, 2)), ("other", (0,))]


def test_options_of_one_method_are_listed_if_they_were_chosen(finished, draw):
    runs = [finished("plain", draw(0.6)), finished("peers", draw(0.6), method="mcl-okd", peers=2, beta=0.5)]
    found = compare(class_runs(runs)).differences
    assert found["beta"] == (None, 0.5)
    assert not {"contrast.momentum", "temperature"} & found.keys()

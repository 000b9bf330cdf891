from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from peerdistill.study.plan import load_study
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.record.record import write_episodes
from peerdistill.study.results import extra_cells, summarise, table_of
from study.results.conftest import recorded

ERRORS = {"plain": [30.0, 31.0, 33.0], "Peers": [29.0, 30.5, 31.0], "MCL|OKD": [28.0, 29.0]}
SECONDS = {"plain": 100.0, "Peers": 200.0, "MCL|OKD": 300.0}


def line_of(summary, method):
    return next(line for line in summary.lines if line.labels.get("method") == method)


def test_a_line_has_mean_deviation_and_seeds_of_every_predictor(study, record_of):
    line = line_of(summarise(study, record_of(study, ERRORS)), "Peers")
    expected = np.array(ERRORS["Peers"])
    for name, above in (("leader", 0), ("mean peer", 1), ("ensemble", -1)):
        found = line.last[name]
        assert (found.mean, found.deviation) == (
            pytest.approx(expected.mean() + above),
            pytest.approx(expected.std(ddof=1)),
        )
    assert (line.seeds, line.planned, line.unfinished, line.best) == (3, 3, {}, {})


def test_the_best_epoch_on_validation_is_another_column(study, record_of):
    record = record_of(study, ERRORS)
    best = {"error": {"leader": 25.0, "mean peer": 26.0, "ensemble": None}}
    record = replace(record, cells=tuple(replace(cell, best=best) for cell in record.cells))
    line = line_of(summarise(study, record), "Peers")
    assert (line.best["leader"].mean, line.last["leader"].mean) == (25.0, pytest.approx(np.mean(ERRORS["Peers"])))


def test_cells_without_a_result_are_counted_with_their_reason(study, record_of):
    record = record_of(study, ERRORS)
    missing = next(cell for cell in study.cells if cell.labels.get("method") == "MCL|OKD" and cell.seed == 2)
    about = (missing.name, dict(missing.labels), "classes", "method", 2)
    failed = replace(record, cells=(*record.cells, CellRecord(*about, status="failed", reason="the disk is full")))
    assert line_of(summarise(study, record), "MCL|OKD").unfinished == {"planned": 1}
    found = summarise(study, failed)
    assert line_of(found, "MCL|OKD").unfinished == {"failed": 1}
    assert found.reasons == {missing.name: "the disk is full"}


def test_leaders_are_compared_with_the_plain_network_and_with_the_one_of_equal_time(study, record_of):
    record = record_of(study, ERRORS, SECONDS)
    longer = [cell for cell in extra_cells(study, record) if cell.epochs == 20]
    later = replace(record, cells=(*record.cells, *(recorded(cell, 28.0 + cell.seed**2) for cell in longer)))
    with_plain, with_longer = line_of(summarise(study, later), "Peers").verdicts
    assert with_plain.sentence.startswith("digits, ResNet-8: Peers's leader and the plain network are not told apart")
    expected = stats.ttest_rel(ERRORS["plain"], ERRORS["Peers"]).confidence_interval(0.95)
    assert (with_plain.interval.low, with_plain.interval.high) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert "the plain network of equal time (20 epochs)" in with_longer.sentence
    assert with_longer.interval.mean == pytest.approx(np.mean([28, 29, 32]) - np.mean(ERRORS["Peers"]))
    assert line_of(summarise(study, later), "Peers").equal["equal time"].mean == pytest.approx(np.mean([28, 29, 32]))
    (few,) = line_of(summarise(study, record), "MCL|OKD").verdicts
    assert few.sentence.endswith("too few seeds (2) to compare")


def test_the_baseline_of_a_study_is_compared_too(study_of, record_of):
    study = study_of(baseline={"method": "Peers"}, equal_compute=False)
    errors = {"Peers": [30.0, 31.0, 32.0], "MCL|OKD": [28.0, 29.5, 30.5]}
    summary = summarise(study, record_of(study, errors))
    (verdict,) = summary.verdicts
    assert "MCL|OKD's leader is better than Peers's leader by 1.67 points" in verdict.sentence


def test_the_plain_network_is_not_compared_with_a_method_again(study_of, record_of):
    """With another baseline than the plain network, that is a row of the table like all others."""
    found = study_of(baseline={"method": "Peers"})
    pairs = [(verdict.first, verdict.second) for verdict in summarise(found, record_of(found, ERRORS)).verdicts]
    assert pairs == [
        ("digits, ResNet-8: Peers's leader", "the plain network"),
        ("digits, ResNet-8: MCL|OKD's leader", "Peers's leader"),
        ("digits, ResNet-8: MCL|OKD's leader", "the plain network"),
    ]


def test_reduced_runs_say_so_in_every_line_and_verdict(study_of, record_of):
    study = study_of("small", options={"epochs": 20, "validation": 0})
    summary = summarise(study, record_of(study, ERRORS))
    assert {line.statement for line in summary.lines} == {"small: 10 of 20 epochs"}
    assert all(verdict.sentence.startswith("scale small, digits") for verdict in summary.verdicts)


def test_published_figures_stand_beside_with_the_difference():
    study = load_study("table2", seeds=1, only={"network": ["ResNet-32"], "method": ["MCL-OKD"]})
    cells = tuple(recorded(cell, 25.0) for cell in study.cells)
    line = line_of(summarise(study, Record(study.title, "full", {}, cells)), "MCL-OKD")
    assert (line.paper["leader"].mean, line.paper["leader"].std) == (24.45, 0.17)
    assert line.above_paper("leader") == pytest.approx(0.55)
    assert line.above_paper("mean peer") is None


def test_episodes_are_paired_if_they_were_kept(study_of, tmp_path):
    methods = {"Alone": {"method": "baseline", "peers": 1}, "Peers": {"method": "dml", "peers": 2}}
    study = study_of(
        kind="episodes",
        datasets={"Omniglot": {"data": "omniglot", "recipe": "omniglot"}},
        options={},
        axes={"method": methods},
        scales={},
    )
    rng = np.random.default_rng(0)
    cells, difficulty = [], rng.normal(70, 8, 100)
    for cell in study.cells:
        accuracies = difficulty + rng.normal(2 if cell.peers > 1 else 0, 4, 100)
        write_episodes(tmp_path, cell.name, {"5-way 1-shot": accuracies})
        figures = {"leader": accuracies.mean(), "mean peer": accuracies.mean(), "ensemble": None}
        about = {"status": "finished", "epochs": cell.epochs, "last": {"5-way 1-shot": figures}}
        cells.append(CellRecord(cell.name, dict(cell.labels), "episodes", cell.role, cell.seed, **about))
    found = summarise(study, Record(study.title, "full", {}, tuple(cells), folder=tmp_path))
    (verdict,) = found.verdicts
    assert "Omniglot, 5-way 1-shot: Peers's leader is better than the plain network by" in verdict.sentence
    assert "3 seeds, 100 episodes" in verdict.sentence


def test_numbers_of_analyses_are_averaged(study, record_of):
    record = record_of(study, ERRORS)
    values = iter(range(100))
    cells = tuple(
        replace(cell, analyses={"similarity": {"intra-class": float(next(values)), "pictures": ["a.png"]}})
        for cell in record.cells
    )
    line = summarise(study, replace(record, cells=cells)).lines[0]
    assert line.analyses.keys() == {"similarity: intra-class"}
    assert line.analyses["similarity: intra-class"].seeds == 3


def test_runs_without_test_images_have_a_validation_error(study, record_of):
    record = record_of(study, ERRORS)
    cells = tuple(replace(cell, last={"validation error": cell.last["error"]}) for cell in record.cells)
    found = summarise(study, replace(record, cells=cells))
    line = line_of(found, "Peers")
    assert (line.column, line.seeds) == ("validation error", 3)
    assert line.verdicts[0].interval.mean == pytest.approx(np.mean(ERRORS["plain"]) - np.mean(ERRORS["Peers"]))
    assert "validation error" not in line.verdicts[0].sentence


def test_different_processors_are_noted(study, record_of):
    record = record_of(study, ERRORS)
    cells = [replace(cell, machine={"processor": f"type {cell.seed % 2}"}) for cell in record.cells]
    notes = table_of(summarise(study, replace(record, cells=tuple(cells)))).notes
    assert any("different processors, so compare seconds with care: type 0; type 1." in note for note in notes)


def test_students_of_different_teachers_are_seeds_of_one_line(study_of, record_of):
    """Each seed has a teacher with the same seed."""
    teacher = {"method": "baseline", "peers": 1}
    study = study_of(axes={"method": {"KD": {"method": "kd", "peers": 1, "teacher": teacher}}})
    assert len({cell.digest for cell in study.cells if cell.role == "method"}) == 3
    found = summarise(study, record_of(study, {"KD": [28.0, 29.0, 30.0]}))
    assert line_of(found, "KD").seeds == 3


def test_the_cost_of_a_student_includes_that_of_its_teacher(study_of):
    kd = {"method": "kd", "peers": 1, "teacher": {"backbone": "resnet20"}}
    study = study_of(axes={"method": {"KD": kd}}, options={"epochs": 10, "validation": 0, "backbone": "resnet8"})
    costs = {"teacher": (100.0, 7), "method": (50.0, 3), "plain": (20.0, 2)}
    cells = []
    for cell in study.cells:
        seconds, adds = costs[cell.role]
        cells.append(recorded(cell, 30.0 + cell.seed, cpu_seconds=seconds, multiply_adds=adds))
    record = Record(study.title, "full", {}, tuple(cells))
    summary = summarise(study, record)
    line = line_of(summary, "KD")
    assert (line.time.mean, line.multiply_adds.mean) == (150.0, 10)
    assert any("include the training of its teacher" in note for note in table_of(summary).notes)
    assert {cell.epochs for cell in extra_cells(study, record)} == {75, 50}  # 10 x 150 / 20 and 10 x 10 / 2
    without = replace(record, cells=tuple(cell for cell in record.cells if cell.role != "teacher"))
    assert line_of(summarise(study, without), "KD").time is None


def test_a_sweep_is_named_in_verdicts_and_has_no_columns_that_nobody_asked_for(study_of, record_of):
    study = study_of(sweep={"epochs": [5, 10]}, equal_compute=False, scales={}, baseline={"method": "Peers"})
    summary = summarise(study, record_of(study, ERRORS, SECONDS))
    assert "digits, ResNet-8, epochs 10: MCL|OKD's leader" in summary.verdicts[-1].sentence
    assert all(line.equal == {} for line in summary.lines)

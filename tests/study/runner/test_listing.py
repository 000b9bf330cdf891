import pytest

from peerdistill.runs.pace import Pace
from peerdistill.study.record import Record
from peerdistill.study.runner import trials
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.listing import listing
from peerdistill.study.runner.trials import Trials
from support.studies import ALONE, Session, planned, study

pytestmark = pytest.mark.own_process


START = 6.0
"""Seconds of the start of a process; measuring them takes as long."""


@pytest.fixture(scope="module", autouse=True)
def start():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "seconds_to_start", lambda threads: START)
        yield


def listed(plan, folder, **how):
    folders = Folders(folder / "runs", plan.datasets)
    return listing(plan, folders, Record.read(folder / "results"), Trials(folders, 1), **how)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A study of which one cell is trained, and its listing."""
    folder = tmp_path_factory.mktemp("half")
    Session(study(folder, seeds=1, axes={"method": {"Baseline": ALONE}}, title="Half"), folder).run()
    (folder / "results").rename(folder / "other")
    methods = {"Baseline": {**ALONE, "epochs": 1}, "DML": {"method": "dml", "peers": 2}}
    plan = study(folder, options={"epochs": 4}, axes={"method": methods}, baseline={"method": "Baseline"})
    tried = []
    return plan, listed(plan, folder, tell=tried.append), tried


def test_every_run_has_its_state_and_steps(half):
    _, found, _ = half
    states = {(one.cell.labels["method"], one.cell.seed): (one.state, one.steps) for one in found.cells}
    assert states == {
        ("Baseline", 0): ("finished", 3),
        ("DML", 0): ("planned", 12),  # 60 images in batches of 20, 4 epochs
        ("Baseline", 1): ("planned", 3),
        ("DML", 1): ("planned", 12),
    }


def test_a_configuration_is_tried_once_for_all_seeds(half):
    plan, _, tried = half
    assert tried == [f"trying {planned(plan, method, seed).name}" for method, seed in (("DML", 0), ("Baseline", 1))]


def test_the_total_is_what_is_left(half):
    _, found, _ = half
    left = [one for one in found.cells if one.state == "planned"]
    assert found.steps == 27
    assert found.seconds == pytest.approx(sum(one.seconds for one in left))
    total = found.as_dict()["total"]
    assert (total["runs"], total["left"], total["steps"]) == (4, 3, 27)


def test_a_student_is_tried_with_an_untrained_teacher(tmp_path):
    kd = {"method": "kd", "teacher": {**ALONE, "epochs": 2}}
    plan = study(tmp_path, seeds=1, axes={"method": {"KD": kd}})
    found = listed(plan, tmp_path)
    assert {one.state for one in found.cells} == {"planned"}
    assert all(one.seconds > 0 for one in found.cells)
    assert not (tmp_path / "runs").exists()


def test_a_trial_tells_the_time_of_any_number_of_epochs(tmp_path, monkeypatch):
    """Its parts are summed by hand: 3 steps of 1 s and 0.5 s in each epoch, and 9 s and the start beside the epochs."""
    pace = Pace(steps_per_epoch=3, step=1.0, leader_step=0.25, epoch_end=0.5, first=2.0, start=3.0, end=4.0)
    monkeypatch.setattr(trials, "pace_of", lambda *_, **__: pace)
    methods = {"peers": {"method": "dml", "peers": 2}, "later": {"method": "dml", "peers": 2, "growth": {"start": 0.5}}}
    plan = study(tmp_path, seeds=1, axes={"method": methods}, sweep={"epochs": [4, 8]}, baseline={"method": "peers"})
    tried = []
    found = {
        tuple(one.cell.labels.values())[1:]: one.seconds for one in listed(plan, tmp_path, tell=tried.append).cells
    }
    assert found == {
        ("peers", "4"): START + 9 + 4 * 3.5,
        ("peers", "8"): START + 9 + 8 * 3.5,
        ("later", "4"): START + 9 + 2 * 3.5 + 2 * (3 * 0.25 + 0.5),
        ("later", "8"): START + 9 + 4 * 3.5 + 4 * (3 * 0.25 + 0.5),
    }
    assert len(tried) == 2


@pytest.fixture
def with_equal_compute(tmp_path):
    """A study of a method whose step takes more than twice that of the plain network."""
    options = {"epochs": 8, "batch_size": 20}
    methods = {"DML": {"method": "dml", "peers": 3}}
    return study(tmp_path, seeds=1, equal_compute=True, options=options, axes={"method": methods})


def names(found):
    return {one.cell.name for one in found.cells}


def test_the_plain_networks_of_equal_compute_are_listed_as_they_will_be_trained(with_equal_compute, tmp_path):
    """Those of equal time depend on measured times, so only those of equal multiply-adds are known before."""
    before = listed(with_equal_compute, tmp_path)
    assert {one.cell.role for one in before.cells} >= {"plain", "method", "equal multiply-adds"}
    assert all(one.seconds > 0 for one in before.cells)
    record = Session(with_equal_compute, tmp_path).run()
    trained = {cell.name for cell in record.cells if cell.role == "equal multiply-adds"}
    assert trained
    assert trained <= names(before)
    after = listed(with_equal_compute, tmp_path)
    assert names(after) == {cell.name for cell in record.cells}
    assert {one.state for one in after.cells} == {"finished"}


def test_equal_compute_of_runs_that_are_finished_but_not_recorded(with_equal_compute, tmp_path):
    Session(with_equal_compute, tmp_path).run()
    recorded = names(listed(with_equal_compute, tmp_path))
    (tmp_path / "results").rename(tmp_path / "other")
    assert names(listed(with_equal_compute, tmp_path)) == recorded


def test_a_cell_that_cannot_be_trained_says_why(tmp_path):
    plan = study(tmp_path, seeds=1, options={"batch_size": 4000}, axes={"method": {"Baseline": ALONE}})
    (one,) = listed(plan, tmp_path).cells
    assert (one.state, one.is_left) == ("impossible", False)
    assert "batch_size" in one.reason


def test_data_that_are_missing_are_said(tmp_path):
    plan = study(tmp_path, seeds=1, data=None, datasets={"Photos": {}}, axes={"method": {"Baseline": ALONE}})
    (one,) = listed(plan, tmp_path).cells
    assert one.state == "no data"
    assert "--data Photos=DATA" in one.reason

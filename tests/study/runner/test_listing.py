import pytest

from peerdistill.runs.pace import Pace
from peerdistill.study.record import Record
from peerdistill.study.runner import trials
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.listing import listing
from peerdistill.study.runner.trials import Trials
from support.studies import ALONE, Session, planned, study

pytestmark = pytest.mark.own_process


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
    """Its parts are summed by hand: 3 steps of 1 s and 0.5 s in each epoch, and 9 s beside the epochs."""
    pace = Pace(steps_per_epoch=3, step=1.0, leader_step=0.25, epoch_end=0.5, first=2.0, start=3.0, end=4.0)
    monkeypatch.setattr(trials, "pace_of", lambda *_, **__: pace)
    methods = {"peers": {"method": "dml", "peers": 2}, "later": {"method": "dml", "peers": 2, "growth": {"start": 0.5}}}
    plan = study(tmp_path, seeds=1, axes={"method": methods}, sweep={"epochs": [4, 8]}, baseline={"method": "peers"})
    tried = []
    found = {
        tuple(one.cell.labels.values())[1:]: one.seconds for one in listed(plan, tmp_path, tell=tried.append).cells
    }
    assert found == {
        ("peers", "4"): 9 + 4 * 3.5,
        ("peers", "8"): 9 + 8 * 3.5,
        ("later", "4"): 9 + 2 * 3.5 + 2 * (3 * 0.25 + 0.5),
        ("later", "8"): 9 + 4 * 3.5 + 4 * (3 * 0.25 + 0.5),
    }
    assert len(tried) == 2


def test_plain_networks_of_equal_time_are_listed(tmp_path):
    plan = study(tmp_path, seeds=1, equal_compute=True, axes={"method": {"DML": {"method": "dml", "peers": 3}}})
    roles = [one.cell.role for one in listed(plan, tmp_path).cells]
    assert "plain" in roles
    assert "method" in roles


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

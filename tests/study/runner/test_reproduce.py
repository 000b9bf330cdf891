import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from peerdistill.data import load_dataset
from peerdistill.runs.run import Run
from peerdistill.study.cost import multiply_adds_per_step, sizes_of_run
from peerdistill.study.record import Record
from peerdistill.training.metrics import MetricsFile
from support.studies import (
    ALONE,
    Session,
    cell_of,
    exit_code,
    in_background,
    nothing_is_trained,
    planned,
    statuses,
    study,
    without_times,
)

pytestmark = pytest.mark.own_process

LONG = {"epochs": 16}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of two methods and two seeds, trained two at a time."""
    folder = tmp_path_factory.mktemp("trained")
    session = Session(study(folder), folder, jobs=2)
    session.run()
    return session


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    """A copy of the folder of the trained study."""
    shutil.copytree(trained.runs.parent, tmp_path / "copy")
    return tmp_path / "copy"


def test_every_cell_is_trained_and_recorded(trained):
    record = Record.read(trained.out)
    assert statuses(record) == dict.fromkeys(["Baseline 0", "DML 0", "Baseline 1", "DML 1"], "finished")
    assert [words[0] for words in trained.words] == ["train"] * 4
    for cell in record.cells:
        run = Run(trained.runs / cell.name)
        options = run.config.as_dict()
        assert cell.options == {**options, "root": Path(options["root"]).name}
        assert cell.seed == run.config.training.seed
        data = load_dataset(run.config.data)
        assert cell.images == {"train": data.fingerprint, **data.held_out}
        assert set(cell.images) == {"train", "test"}
        assert (cell.epochs, cell.steps) == (1, 3)
        assert cell.cpu_seconds >= 0
        assert cell.multiply_adds == cell.steps * multiply_adds_per_step(run.config, sizes_of_run(run))
        assert record.log(cell.name) == MetricsFile(run.metrics_file).read()
        assert record.environment(cell.name)["packages"]["torch"] == cell.versions["torch"]


def test_the_figures_are_the_errors_of_the_run(trained):
    record = Record.read(trained.out)
    for method, peers in (("Baseline", 1), ("DML", 2)):
        cell = cell_of(record, method)
        scores = Run(trained.runs / cell.name).evaluate()
        errors = cell.last["error"]
        assert errors["leader"] == pytest.approx(100 - scores["leader"]["top1"])
        assert errors["mean peer"] == pytest.approx(100 - sum(peer["top1"] for peer in scores["peers"]) / peers)
        together = None if peers == 1 else pytest.approx(100 - scores["ensemble"]["top1"])
        assert errors["ensemble"] == together
        assert cell.best is None


def test_the_second_time_nothing_is_trained_and_nothing_is_written(copy):
    before = (copy / "results/results.json").stat()
    record = Session(study(copy), copy, start=nothing_is_trained).run()
    assert all(cell.finished for cell in record.cells)
    assert (copy / "results/results.json").stat().st_mtime_ns == before.st_mtime_ns


def test_results_outlive_their_runs(copy):
    shutil.rmtree(copy / "runs")
    before = Record.read(copy / "results").cells
    assert Session(study(copy), copy, start=nothing_is_trained).run().cells == before


def test_the_results_of_runs_that_exist_are_recorded_without_training(copy):
    before = Record.read(copy / "results")
    shutil.rmtree(copy / "results")
    assert Session(study(copy), copy, start=nothing_is_trained).run().cells == before.cells


def test_a_larger_study_trains_only_what_is_new(copy):
    session = Session(study(copy, seeds=3), copy)
    record = session.run()
    assert len(record.cells) == 6
    assert sorted(words[-1].rpartition("-")[2] for words in session.words) == ["s2", "s2"]


def test_a_run_in_a_folder_of_another_name_is_found_by_its_configuration(copy):
    shutil.rmtree(copy / "results")
    names = {cell.name: f"by-hand-{number}" for number, cell in enumerate(study(copy).cells)}
    for name, other in names.items():
        (copy / "runs" / name).rename(copy / "runs" / other)
    session = Session(study(copy), copy, start=nothing_is_trained)
    assert all(cell.finished for cell in session.run().cells)
    for name, other in names.items():
        assert f"{other} is the run of {name}" in session.printed


def test_a_run_on_other_data_is_not_that_of_a_cell(copy):
    shutil.rmtree(copy / "results")
    plan = study(copy)
    name = planned(plan, "DML").name
    file = copy / "runs" / name / "config.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "data": "npz:/elsewhere/digits.npz"}))
    (copy / "runs" / name).rename(copy / "runs/by-hand")
    session = Session(plan, copy)
    session.run()
    assert [words[-1] for words in session.words] == [f"--run={copy}/runs/{name}"]


def test_a_run_on_other_images_than_the_recorded_ones_is_told_at_once_and_in_the_results(copy):
    """As if the record were of another machine, on which a folder was divided otherwise."""
    file = copy / "results/results.json"
    values = json.loads(file.read_text())
    for cell in values["cells"]:
        cell["images"]["test"] = "0123456789abcdef"
    file.write_text(json.dumps(values))
    session = Session(study(copy, seeds=3), copy)
    session.run()
    sentence = "digits: not all runs had the same test images"
    assert session.printed.count(sentence) == 1
    assert sentence in (copy / "results/results.md").read_text()


def test_a_failed_training_is_reported_and_the_others_go_on(tmp_path):
    methods = {"Diverges": {**ALONE, "lr": 1000.0, "epochs": 20}, "Baseline": ALONE}
    plan = study(tmp_path, seeds=1, axes={"method": methods})
    session = Session(plan, tmp_path)
    record = session.run()
    assert statuses(record) == {"Diverges 0": "failed", "Baseline 0": "finished"}
    reason = cell_of(record, "Diverges").reason
    assert "is not finite" in reason
    assert "resume with" not in reason
    assert reason in session.printed
    again = Session(plan, tmp_path)
    again.run()
    assert len(again.words) == 1  # the failed one is tried again


def test_teachers_are_trained_before_their_students(tmp_path):
    teacher = {**ALONE, "backbone": "resnet20", "epochs": 2}
    plan = study(tmp_path, seeds=1, axes={"method": {"KD": {"method": "kd", "teacher": teacher}}})
    session = Session(plan, tmp_path, jobs=2)
    record = session.run()
    started = [Run(words[-1].removeprefix("--run=")) for words in session.words]
    (student,) = [run for run in started if run.config.method == "kd"]
    (of_teacher,) = [run for run in started if run.config.cohort.backbone == "resnet20"]
    assert started.index(of_teacher) < started.index(student)
    assert student.config.teacher.teacher == str(of_teacher.path)
    assert {cell.role: cell.status for cell in record.cells if cell.role != "plain"} == {
        "teacher": "finished",
        "method": "finished",
    }


def test_a_student_whose_teacher_fails_is_not_trained(tmp_path):
    teacher = {**ALONE, "lr": 1000.0, "epochs": 20}
    plan = study(tmp_path, seeds=1, axes={"method": {"KD": {"method": "kd", "teacher": teacher}}})
    session = Session(plan, tmp_path)
    record = session.run()
    assert len(session.words) == len(record.cells) - 1
    (student,) = [cell for cell in record.cells if cell.labels.get("method") == "KD"]
    assert student.status == "failed"
    assert "its teacher" in student.reason


def test_a_teacher_whose_run_was_deleted_is_trained_again_for_a_new_student(tmp_path):
    kd = {"method": "kd", "teacher": {**ALONE, "epochs": 2}}
    Session(study(tmp_path, seeds=1, axes={"method": {"KD": kd}}), tmp_path).run()
    shutil.rmtree(tmp_path / "runs")
    session = Session(study(tmp_path, seeds=1, axes={"method": {"KD": {**kd, "epochs": 2}}}), tmp_path)
    record = session.run()
    assert all(cell.finished for cell in record.cells)
    assert len(session.words) == 2


def test_cells_without_data_are_recorded_with_what_to_pass(tmp_path):
    plan = study(
        tmp_path, seeds=1, data=None, datasets={"digits": {"data": "digits"}, "Photos": {}, "C": {"data": "cifar100"}}
    )
    session = Session(plan, tmp_path)
    record = session.run()
    reasons = {cell.labels["dataset"]: (cell.status, cell.reason) for cell in record.cells}
    assert reasons["digits"] == ("finished", None)
    assert reasons["Photos"][0] == reasons["C"][0] == "no data"
    assert "--data Photos=DATA" in reasons["Photos"][1]
    assert "has no cifar100" in reasons["C"][1]
    assert "--data C=DATA" in reasons["C"][1]
    assert len(session.words) == 2


def test_a_validation_split_gives_the_best_epoch_in_a_second_column(tmp_path):
    plan = study(tmp_path, seeds=1, options={"validation": 0.2, "epochs": 3}, axes={"method": {"Baseline": ALONE}})
    record = Session(plan, tmp_path).run()
    result = json.loads((tmp_path / "runs" / record.cells[0].name / "result.json").read_text())
    assert record.cells[0].best["error"]["leader"] == pytest.approx(100 - result["best"]["test"]["leader"]["top1"])


# Killed and continued


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return Session(long_study(folder), folder).run()


def long_study(folder: Path):
    return study(folder, seeds=1, options=LONG)


def wait_for_epochs(folder: Path, method: str) -> Run:
    """Wait until a training has done an epoch, and return its run."""
    run = Run(folder / "runs" / planned(long_study(folder), method).name)
    deadline = time.monotonic() + 60
    while not run.metrics_file.exists() or run.metrics_file.read_bytes().count(b"\n") < 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return run


def test_a_killed_runner_and_a_killed_training_continue_to_the_same_record(tmp_path, uninterrupted):
    runner = in_background(Session(long_study(tmp_path), tmp_path))
    run = wait_for_epochs(tmp_path, "Baseline")
    os.kill(runner, signal.SIGKILL)
    assert exit_code(runner) == -signal.SIGKILL
    os.kill(child_in(run), signal.SIGKILL)  # it has survived its runner
    session = Session(long_study(tmp_path), tmp_path)
    record = session.run()
    # The other cell goes first while the kernel has not yet taken the lock from the killed process.
    assert f"--run={run.path}" in next(words for words in session.words if "--resume" in words)
    assert without_times(record) == without_times(uninterrupted)
    for cell in record.cells:
        assert record.log(cell.name) == uninterrupted.log(cell.name)


def test_a_training_that_survives_its_runner_is_waited_for(tmp_path, uninterrupted):
    runner = in_background(Session(long_study(tmp_path), tmp_path))
    wait_for_epochs(tmp_path, "Baseline")
    os.kill(runner, signal.SIGKILL)
    exit_code(runner)
    session = Session(long_study(tmp_path), tmp_path)
    record = session.run()
    assert len(session.words) == 1  # only the other one
    assert without_times(record) == without_times(uninterrupted)


def test_a_killed_training_has_failed_and_is_continued_the_next_time(tmp_path, uninterrupted):
    runner = in_background(Session(long_study(tmp_path), tmp_path))
    run = wait_for_epochs(tmp_path, "Baseline")
    os.kill(child_in(run), signal.SIGKILL)
    assert exit_code(runner) == 0
    record = Record.read(tmp_path / "results")
    assert statuses(record) == {"Baseline 0": "failed", "DML 0": "finished"}
    assert "SIGKILL" in cell_of(record, "Baseline").reason
    assert without_times(Session(long_study(tmp_path), tmp_path).run()) == without_times(uninterrupted)


def test_an_interrupted_runner_stops_its_trainings_at_a_checkpoint(tmp_path, uninterrupted):
    runner = in_background(Session(long_study(tmp_path), tmp_path, jobs=2))
    for method in ("Baseline", "DML"):
        wait_for_epochs(tmp_path, method)
    os.kill(runner, signal.SIGINT)
    assert exit_code(runner) == 128 + signal.SIGINT
    assert statuses(Record.read(tmp_path / "results")) == dict.fromkeys(["Baseline 0", "DML 0"], "interrupted")
    session = Session(long_study(tmp_path), tmp_path)
    assert without_times(session.run()) == without_times(uninterrupted)
    assert all("--resume" in words for words in session.words)


def test_two_runners_share_a_folder_and_train_each_cell_once(tmp_path):
    plan = study(tmp_path, seeds=2)
    runners = [in_background(Session(plan, tmp_path)) for _ in range(2)]
    assert [exit_code(runner) for runner in runners] == [0, 0]
    record = Record.read(tmp_path / "results")
    assert [cell.status for cell in record.cells] == ["finished"] * 4


def child_in(run: Run) -> int:
    """Return the number of the process that trains a run, which its lock file names."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and f"{run.path}/.lock" in open_files(entry):
            return int(entry.name)
    raise AssertionError(f"no process trains {run.path}")


def open_files(process: Path) -> list[str]:
    try:
        return [str(file.readlink()) for file in (process / "fd").iterdir()]
    except OSError:
        return []

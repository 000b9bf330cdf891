"""Methods train, resume, evaluate and export through the same configuration and run folder.

Every method does so in tests/faults/every_method.py, by command lines and killed in between; and by episodes in
test_few_shot.py."""

import json
import shutil

import pytest
import torch

from peerdistill import deploy, methods, runs
from peerdistill.config import parse
from peerdistill.errors import UserError
from peerdistill.runs import Run
from support.digits import write_digits

PEERS = 3
# With memory banks, with statistics of a gate, with running means of the peers, with a teacher and its bank.
WITH_STATE = ("mcl-okd", "one", "pcl", "crd+kd")


@pytest.mark.parametrize("name", WITH_STATE)
def test_trains_resumes_evaluates_and_exports(
    name, tmp_path, trained, quick_config, train_quickly, state_of, stop_and_resume
):
    changes = {"peers": 1, "teacher": trained.path} if methods.find(name).needs_teacher else {"peers": PEERS}
    config = quick_config(method=name, **changes)
    whole = Run(tmp_path / "whole")
    result = train_quickly(config, whole.path)
    stopped = stop_and_resume(config, tmp_path / "stopped")
    assert state_of(stopped) == state_of(whole)
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()

    assert runs.evaluate_run(whole).as_dict() == result["last"]["test"]
    restored = runs.restore(whole)
    pictures, _ = runs.sample_pictures(whole, count=4)
    report = deploy.export(
        restored.cohort.leader(),
        restored.card,
        tmp_path / "leader.safetensors",
        format="safetensors",
        pictures=pictures,
    )
    assert report.agreement == 1.0


def test_plus_kd_and_its_teacher_from_a_run_or_a_file(tmp_path, trained, quick_config, train_quickly, state_of):
    restored = runs.restore(trained)
    pictures, _ = runs.sample_pictures(trained, count=4)
    file = tmp_path / "teacher.safetensors"
    deploy.export(restored.cohort.leader(), restored.card, file, format="safetensors", pictures=pictures)
    for number, source in enumerate((trained.path, file)):
        train_quickly(quick_config(teacher=source, epochs=1), tmp_path / str(number))
    assert state_of(Run(tmp_path / "0")) == state_of(Run(tmp_path / "1"))
    (line,) = (json.loads(line) for line in (tmp_path / "0" / "metrics.jsonl").read_text().splitlines())
    assert line["loss"]["teacher"] > 0


def test_a_run_is_evaluated_when_its_teacher_is_gone(tmp_path, trained, quick_config, train_quickly):
    teacher = tmp_path / "teacher"
    shutil.copytree(trained.path, teacher)
    result = train_quickly(quick_config(method="kd", peers=1, teacher=teacher), tmp_path / "student")
    shutil.rmtree(teacher)
    assert runs.evaluate_run(Run(tmp_path / "student")).as_dict() == result["last"]["test"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "kd", "peers": 1}, "kd needs a teacher: --teacher RUN_OR_FILE"),
        (
            {"teacher": "nowhere"},
            "there is no teacher .*nowhere: it must be a run folder or an exported .safetensors file",
        ),
        ({"teacher_weight": -1.0}, "teacher_weight must be at least 0 and at most .*, found -1.0"),
        ({"teacher_temperature": 0.0}, "teacher_temperature must be above 0 and at most .*, found 0.0"),
    ],
)
def test_what_is_refused_of_a_teacher(tmp_path, quick_config, train_quickly, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        train_quickly(quick_config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_classes_is_refused(tmp_path, trained, quick_config, train_quickly):
    write_digits(tmp_path / "other.npz", names="xyz")
    with pytest.raises(UserError, match="was trained on different classes"):
        train_quickly(quick_config(f"npz:{tmp_path}/other.npz", teacher=trained.path), tmp_path / "run")


@pytest.mark.parametrize("name", methods.names())
def test_a_method_chooses_how_its_cohort_shares(name):
    config, _ = parse(["digits", "--method", name])
    card = methods.find(name)
    assert config.cohort.sharing == card.sharings[0]
    assert config.cohort.split_gradients == card.cohort.get("split_gradients", "sum")
    assert config.cohort.branch_at == card.cohort.get("branch_at", "early")
    config, _ = parse(["digits", "--method", name, "--sharing", "branch", "--split_gradients", "sum"])
    assert (config.cohort.sharing, config.cohort.split_gradients) == ("branch", "sum")


def test_the_gate_of_one_is_kept_with_its_statistics(tmp_path, quick_config, train_quickly):
    train_quickly(quick_config(method="one", peers=PEERS), tmp_path / "one")
    last = Run(tmp_path / "one").checkpoints.load(tmp_path / "one" / "checkpoints" / "last.pt")
    statistics = last["ensemble"]["gate.1.running_mean"]
    assert statistics.shape == (PEERS,)
    assert torch.count_nonzero(statistics) == PEERS

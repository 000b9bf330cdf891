"""Plans for what was measured, with a clock of the test's own."""

import json
import math
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peerdistill as pdl
from peerdistill.config import Config, parse, read_config
from peerdistill.config.budget import Budget
from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.runs import budget as planning
from peerdistill.runs.budget import Candidate, plan_of, with_plan_of
from peerdistill.runs.build import build_cohort
from peerdistill.runs.pace import EPOCHS, Pace
from peerdistill.runs.peers_pay import PeersPay
from peerdistill.training import Interrupted, TrainingConfig
from peerdistill.training.config import GrowthConfig
from support.killed import leave_scratch_folder

EARLY = PeersPay({1: 50.0, 1000: 50.0}, {1: 40.0, 1000: 40.0}, data="a study", evidence="docs/study.md")
"""Peers are always better."""

STUDY = PeersPay(
    single={50: 44.10, 100: 44.15, 200: 41.05, 400: 37.50},
    peers={25: 52.70, 50: 44.00, 100: 40.85},
    data="a study",
    evidence="docs/study.md",
)
"""A single network is better at equal time, unless peers take little more time."""


NOW = 1000.0
DIGITS = Config.from_dict({"data": "digits"})


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still."""
    monkeypatch.setattr(time, "monotonic", lambda: NOW)


def config(*words: str) -> Config:
    return parse(["digits", *words])[0]


def pace(step: float = 0.1, **parts: float) -> Pace:
    """Ten steps an epoch; nothing else takes time unless ``parts`` say so."""
    return Pace(
        **{
            "steps_per_epoch": 10,
            "step": step,
            "leader_step": 0.0,
            "epoch_end": 0.0,
            "first": 0.0,
            "start": 0.0,
            "end": 0.0,
            **parts,
        }
    )


def two(single: Pace, peers: Pace) -> list[Candidate]:
    return [Candidate(planning.alone(config()), single), Candidate(config(), peers)]


seconds = st.floats(0.0, 100.0)
steps = st.floats(1e-4, 10.0)
paces = st.builds(Pace, st.integers(1, 1000), steps, steps, seconds, seconds, seconds, seconds)
trainings = st.sampled_from(
    [
        TrainingConfig(growth=GrowthConfig(start=start), distill_every=every)
        for start in (0.0, 0.3, 0.9)
        for every in (1, 3)
    ]
)


@settings(max_examples=60)
@given(paces, trainings, st.floats(1.0, 1e6), st.floats(0.0, 1e5), st.floats(0.0, 50.0))
def test_the_plan_is_the_largest_number_of_epochs_that_fits(found, training, whole, more, used):
    candidate = Candidate(replace(DIGITS, training=training), found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: NOW)
        assert planned_epochs(candidate, whole, used) <= planned_epochs(candidate, whole + more, used)


def planned_epochs(candidate: Candidate, whole: float, used: float) -> int:
    """Check a plan and return its epochs; 0 if there is no room for one."""
    fewest = 2 if candidate.config.training.growth.start else 1
    try:
        plan = plan_of([candidate], Budget(whole, NOW - used), None)
    except UserError:
        assert used + taken(candidate, fewest) > 0.97 * whole - 2 - 1e-6
        return 0
    epochs = plan.config.training.epochs
    assert fewest <= epochs <= EPOCHS
    assert plan.estimated == pytest.approx(used + taken(candidate, epochs))
    assert plan.estimated + plan.reserve <= whole + 1e-6
    assert epochs == EPOCHS or used + taken(candidate, epochs + 1) + plan.reserve > whole - 1e-6
    return epochs


def taken(candidate: Candidate, epochs: int) -> float:
    """Seconds of a run; steps of the leader alone are counted one epoch after the other."""
    training, found = replace(candidate.config.training, epochs=epochs), candidate.pace
    first = training.growth.epochs_of(epochs)
    of_peers = -(-(epochs - first) * found.steps_per_epoch // training.distill_every)
    alone = epochs * found.steps_per_epoch - of_peers
    parts = found.start + found.first + epochs * found.epoch_end + found.end
    return parts + of_peers * found.step + alone * found.leader_step


def test_in_numbers(clock):
    """1,000 s less 32 s of reserve and 20 s that have passed: 948 s, and 928 s without start and end."""
    found = pace(epoch_end=0.5, first=8.0, start=2.0, end=10.0)  # 1.5 s an epoch
    plan = plan_of([Candidate(config("--method", "dml"), found)], Budget(1000.0, 980.0), None)
    assert plan.config == replace(config("--method", "dml"), training=replace(config().training, epochs=618))
    assert (plan.reserve, plan.estimated) == (32.0, 20 + 20 + 618 * 1.5)
    assert plan.reasons == (
        "a step takes 100 ms with 4 peers (dml)",
        "16 minutes 40 seconds is time for 618 epochs of 4 peers (dml)",
        "planned: 618 epochs of 4 peers (dml), about 0:16:07 of 0:16:40, with a reserve of 0:00:32",
    )
    assert json.loads(json.dumps(plan.as_dict()))["measured"]["4 peers (dml)"]["epoch"] == 1.5


def test_one_network_where_peers_are_not_known_to_pay(clock):
    plan = plan_of(two(pace(0.031), pace(0.084)), Budget.of("2h"), STUDY)
    assert (plan.config.method, plan.config.cohort.peers, plan.config.options) == ("baseline", 1, {})
    assert plan.config.training.epochs == int((7200 * 0.97 - 2) / 0.31)
    steps, lengths, why, _ = plan.reasons
    assert steps == "a step takes 31 ms with one network and 84 ms with 4 branches (mcl-okd)"
    assert lengths == "2 hours is time for 22,522 epochs of one network or 8,311 epochs of 4 branches (mcl-okd)"
    assert "peers were not better in the time of up to 271 epochs of one network, and longer times were not" in why
    assert STUDY.evidence in why


def test_peers_from_the_time_on_at_which_they_pay(clock):
    """Peers that cost 1.2 times as much: the threshold is that of the study."""
    from_here = STUDY.pays_from(1.2)
    assert from_here is not None
    for epochs, method in ((math.floor(from_here), "baseline"), (math.ceil(from_here), "mcl-okd")):
        enough = Budget((epochs + 0.5 + 2) / 0.97)  # epochs of 1 s
        plan = plan_of(two(pace(), pace(0.12)), enough, STUDY)
        assert (plan.config.method, plan.config.training.epochs) == (
            method,
            int((epochs + 0.5) / (1 if method == "baseline" else 1.2)),
        )
        assert f"about {from_here:,.0f} epochs of one network" in plan.reasons[2]
        assert plan.reasons[2].endswith(f"training {'one network' if method == 'baseline' else '4 branches (mcl-okd)'}")


def test_what_was_not_measured_is_said(clock):
    plan = plan_of(two(pace(), pace(10.0)), Budget.of("2h"), STUDY)
    assert plan.config.method == "baseline"
    assert "no measurement tells when peers pay that take 100.0 times as long" in plan.reasons[2]


def test_no_room_for_an_epoch(clock):
    with pytest.raises(UserError) as refused:
        plan_of(two(pace(60.0, end=3.0), pace(200.0)), Budget.of("5m"), EARLY)
    assert str(refused.value) == (
        "budget 5 minutes has no room for one epoch: an epoch of one network takes 0:10:00, start, first reading and "
        "evaluation 3.0 s, planning and reserve 11.0 s"
    )


@pytest.mark.parametrize(
    "given", [(), ("--seed", "3"), ("--backbone", "resnet8", "--lr", "0.1"), ("--weights", "some.safetensors")]
)
def test_peers_are_open_if_nobody_chose_them(given):
    assert planning._leaves_peers_open(config(*given))


@pytest.mark.parametrize(
    "given",
    [
        ("--peers", "4"),
        ("--method", "mcl-okd"),
        ("--sharing", "branch"),
        ("--beta", "0.1"),
        ("--contrast.count", "8"),
        ("--contrast", "{count: 8}"),
        ("--teacher", "runs/some"),
        ("--growth.start", "0.5"),
        ("--distill_every", "2"),
    ],
)
def test_what_was_chosen_is_not_planned(given):
    assert not planning._leaves_peers_open(config(*given))


def test_the_same_in_python():
    assert planning._leaves_peers_open(Config.from_dict({"data": "digits", "backbone": "resnet8"}))
    for chosen in ({"method": "mcl-okd"}, {"peers": 4}, {"contrast": {"count": 8}}):
        assert not planning._leaves_peers_open(Config.from_dict({"data": "digits", **chosen}))


def test_few_shot_runs_are_planned_in_episodes(clock):
    chosen = Config.from_dict({"kind": "episodes", "data": "npz:some.npz", "episodes_per_epoch": 50})
    plan = plan_of([Candidate(chosen, pace())], Budget.of("2h"), None)
    assert plan.config.episodes is not None
    assert plan.config.episodes.episodes == 50 * plan.config.training.epochs == 50 * 6982
    plan.config.check()
    assert plan.reasons[-1].startswith("planned: 349,100 episodes of 4 branches (mcl-okd)")


@pytest.mark.parametrize(
    "words",
    [
        ["--share_until", "layer1"],
        ["--sharing", "[1,2,4,4]"],
        ["--sharing", "network", "--peers", "2", "--peer_backbones", "[resnet20]"],
        ["--distill_every", "2", "--growth.start", "0.5", "--split_gradients", "mean"],
    ],
)
def test_one_network_alone_can_be_built_whatever_the_peers_are(words):
    """A dry run compares peers that the user chose with it, too."""
    single = planning.alone(config("--backbone", "resnet8", *words))
    single.check()
    assert build_cohort(single.cohort, channels=1, image_size=8, classes=10).peers == 1


def test_a_resumed_run_keeps_its_plan():
    single = planning.alone(config())
    started = replace(single, training=replace(single.training, epochs=77))
    assert with_plan_of(config(), started) == started
    kept = with_plan_of(config("--peers", "2"), started)
    assert (kept.cohort.peers, kept.method, kept.training.epochs) == (2, "mcl-okd", 77)
    few = Config.from_dict({"kind": "episodes", "data": "npz:some.npz"})
    planned = few.with_epochs(70)
    assert with_plan_of(few, planned) == planned


@pytest.fixture
def two_epochs(monkeypatch):
    """The real measurement runs, and then an epoch of one network counts as 400 s, one of peers as 1,500 s."""
    measure = planning.pace_of
    monkeypatch.setattr(planning, "_MEASURED_S", 0.1)

    def measured(trainer, evaluators, data, **how):
        measure(trainer, evaluators, data, **how)
        return pace(40.0 if trainer.cohort.peers == 1 else 150.0)

    monkeypatch.setattr(planning, "pace_of", measured)


def test_a_planned_run_is_an_ordinary_run(digits_file, two_epochs, train_quickly, tmp_path, capsys):
    data, options = f"npz:{digits_file}", {"backbone": "resnet8", "batch_size": 32}
    run = pdl.train(data, run=tmp_path / "planned", budget="1000s", **options)
    printed = " ".join(capsys.readouterr().out.split())
    assert "a step takes 40.0 s with one network and 0:02:30 with 4 branches (mcl-okd)" in printed
    assert (run.config.method, run.config.cohort.peers, run.config.training.epochs) == ("baseline", 1, 2)
    plan = json.loads(run.plan_file.read_text())
    assert (plan["budget_seconds"], plan["epochs"], plan["method"]) == (1000.0, 2, "baseline")
    assert all(sentence in printed for sentence in plan["reasons"])
    assert [file.name for file in tmp_path.iterdir()] == ["planned"]
    train_quickly(read_config(run.config_file), tmp_path / "plain")
    assert Run(tmp_path / "plain").metrics_file.read_bytes() == run.metrics_file.read_bytes()
    again = pdl.train(data, run=run.path, resume=True, budget="1000s", **options)
    assert again.config == run.config
    with pytest.raises(UserError, match=r"planned was started with budget 16 minutes 40 seconds, found 2 hours: a res"):
        pdl.train(data, run=run.path, resume=True, budget="2h", **options)
    found = pdl.dry_run(data, budget="1000s", **options)
    assert found.config == run.config
    assert found.as_dict()["plan"]["epochs"] == found.config.training.epochs


def test_a_plan_that_is_stopped_leaves_nothing_also_of_one_that_was_killed(digits_file, monkeypatch, tmp_path):
    def stop(*args, **how):
        raise Interrupted

    monkeypatch.setattr(planning, "pace_of", stop)
    leave_scratch_folder(tmp_path)
    with pytest.raises(Interrupted):
        pdl.train(f"npz:{digits_file}", backbone="resnet8", budget="10s", run=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_budget_that_is_no_time_is_refused_in_python(tmp_path):
    with pytest.raises(UserError, match=r"^budget must be a time such as 2h, 90m, 45s or 1h30m, found soon"):
        pdl.train("digits", budget="soon", run=tmp_path / "run")

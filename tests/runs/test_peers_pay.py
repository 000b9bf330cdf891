"""The rule is compared with a search over many times."""

import json
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.config import Config
from peerdistill.runs.peers_pay import (
    FROM_PHOTOGRAPHS,
    FROM_SCRATCH,
    FROM_WEIGHTS,
    WITH_STRONG_AUGMENTATION,
    PeersPay,
    study_for,
)
from support.pages import ROOT

errors = st.dictionaries(st.sampled_from([10, 20, 50, 100, 200, 400]), st.floats(20.0, 60.0), min_size=2)


def gains(study: PeersPay, ratio: float, times: np.ndarray) -> np.ndarray:
    """Points by which the leader is better at each time."""

    def at(errors, epochs):
        known = sorted(errors)
        return np.interp(np.log(epochs), np.log(known), [errors[one] for one in known])

    return at(study.single, times) - at(study.peers, times / ratio)


@settings(max_examples=60)
@given(errors, errors, st.floats(1.05, 5.0))
def test_from_there_on_the_leader_was_better_and_just_before_it_was_not(single, peers, ratio):
    study = PeersPay(single, peers, data="noise", evidence="-")
    measured, pays_from = study.measured(ratio), study.pays_from(ratio)
    if measured is None:
        assert max(single) < min(peers) * ratio or min(single) > max(peers) * ratio
        assert pays_from is None
        return
    first, last = measured
    times = np.geomspace(first, last, 400)
    better = gains(study, ratio, times) >= study.margin
    if pays_from is None:
        assert not better[-1] or math.isclose(gains(study, ratio, times)[-1], study.margin, abs_tol=1e-6)
        return
    assert first <= pays_from <= last * (1 + 1e-9)
    later = times[times > pays_from * (1 + 1e-9)]
    assert (gains(study, ratio, later) >= study.margin - 1e-6).all()
    if pays_from > first * (1 + 1e-9):
        assert gains(study, ratio, np.array([pays_from]))[0] == pytest.approx(study.margin, abs=1e-6)
        assert gains(study, ratio, np.array([pays_from * (1 - 1e-6)]))[0] < study.margin


def test_what_was_measured_on_small_data():
    """The single network is ahead with branches that cost 3.6 times as much, as on the CPU of the study."""
    assert FROM_SCRATCH.measured(3.6) == (90.0, pytest.approx(1440.0))
    assert FROM_SCRATCH.pays_from(3.6) is None
    assert FROM_SCRATCH.single[400] < FROM_SCRATCH.peers[100]
    assert FROM_WEIGHTS.pays_from(1.4) is None
    assert WITH_STRONG_AUGMENTATION.pays_from(1.9) is None
    assert WITH_STRONG_AUGMENTATION.pays_from(3.6) is None


def means(page: str, **labels: str) -> dict[int, float]:
    """The mean test error of the leader by epochs, of the runs with these labels in the record beside a page."""
    cells = json.loads((ROOT / page).with_name("results.json").read_text())["cells"]
    found = defaultdict(list)
    for cell in cells:
        if cell["status"] == "finished" and labels.items() <= cell["labels"].items():
            found[cell["epochs"]].append(cell["last"]["error"]["leader"])
    return {epochs: np.mean(errors) for epochs, errors in found.items()}


@pytest.mark.parametrize(
    ("study", "labels"),
    [(FROM_SCRATCH, {}), (WITH_STRONG_AUGMENTATION, {"augmentation": "TrivialAugment"}), (FROM_PHOTOGRAPHS, {})],
)
def test_the_figures_are_those_of_the_record(study, labels):
    for known, method in ((study.single, "single network"), (study.peers, "MCL-OKD")):
        recorded = means(study.evidence, method=method, **labels)
        assert known == {epochs: pytest.approx(recorded[epochs], abs=0.006) for epochs in sorted(recorded)}


def test_a_network_that_no_longer_gains_from_epochs_loses_to_peers():
    for ratio in (1.0, 1.9, 3.6):
        assert FROM_PHOTOGRAPHS.pays_from(ratio) == pytest.approx(200 * ratio)


def test_the_cheaper_peers_are_the_sooner_they_pay():
    study = PeersPay({10: 50.0, 1000: 40.0}, {10: 55.0, 1000: 30.0}, data="a study", evidence="docs/study.md")
    found = [study.pays_from(ratio) for ratio in (1.05, 1.2, 2.0, 5.0)]
    known = [math.inf if value is None else value for value in found]
    assert known == sorted(known)
    assert known[1] < math.inf


def test_which_study():
    assert study_for(Config.from_dict({"data": "digits"})) is FROM_SCRATCH
    assert study_for(Config.from_dict({"data": "digits", "augment": "randaugment"})) is WITH_STRONG_AUGMENTATION
    assert study_for(Config.from_dict({"data": "a/folder"})) is FROM_PHOTOGRAPHS
    tuned = {"data": "digits", "weights": "some.safetensors"}
    assert study_for(Config.from_dict(tuned)) is FROM_WEIGHTS
    assert study_for(Config.from_dict({"kind": "episodes", "data": "npz:some.npz"})) is None


@pytest.mark.parametrize("study", [FROM_SCRATCH, WITH_STRONG_AUGMENTATION, FROM_PHOTOGRAPHS, FROM_WEIGHTS])
def test_the_evidence_exists(study):
    assert (ROOT / study.evidence).is_file()

"""Every method trains, resumes, evaluates and exports through the same configuration and run folder."""

import signal

import pytest
import torch

from peerdistill import deploy, experiment, methods
from peerdistill.experiment import Run
from peerdistill.training import ConsoleLog, Interrupted

PEERS = 4


def state(run: Run) -> dict[str, bytes]:
    last = run.checkpoints.load(run.checkpoints.last)
    return {name: value.numpy().tobytes() for part in ("cohort", "method") for name, value in last[part].items()}


@pytest.mark.parametrize("name", methods.names())
def test_trains_resumes_evaluates_and_exports(name, tmp_path, quick_config, train_quickly):
    config = quick_config(method=name, peers=PEERS)
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    result = train_quickly(config, whole.path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConsoleLog, "epoch", lambda self, record: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted):
            train_quickly(config, stopped.path)
    train_quickly(stopped.config, stopped.path, resume=True)
    assert state(stopped) == state(whole)
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()

    assert experiment.evaluate_run(whole).as_dict() == result["last"]["test"]
    restored = experiment.restore(whole)
    pictures, _ = experiment.sample_pictures(whole, count=4)
    report = deploy.export(
        restored.cohort.leader(), restored.card, tmp_path / "leader.onnx", format="onnx", pictures=pictures
    )
    assert report.agreement == 1.0


@pytest.mark.parametrize("name", methods.names())
def test_a_method_chooses_how_its_cohort_shares(name):
    config, _ = experiment.parse(["digits", "--method", name])
    card = methods.find(name)
    assert config.cohort.sharing == card.settings[0]
    assert config.cohort.split_gradients == card.cohort.get("split_gradients", "sum")
    config, _ = experiment.parse(["digits", "--method", name, "--sharing", "branch", "--split_gradients", "sum"])
    assert (config.cohort.sharing, config.cohort.split_gradients) == ("branch", "sum")


def test_the_gate_of_one_is_kept_with_its_statistics(tmp_path, quick_config, train_quickly):
    train_quickly(quick_config(method="one", peers=PEERS), tmp_path / "one")
    last = Run(tmp_path / "one").checkpoints.load(tmp_path / "one" / "checkpoints" / "last.pt")
    statistics = last["method"]["ensemble.gate.1.running_mean"]
    assert statistics.shape == (PEERS,)
    assert torch.count_nonzero(statistics) == PEERS

import json
import re
import signal
from collections import Counter

import pytest
import torch

import peerdistill as pdl
from peerdistill import runs
from peerdistill.errors import UserError
from peerdistill.runs import pace
from peerdistill.training import Interrupted, Trainer
from peerdistill.training.learner import Learner
from support.photos import write_class_folders


def test_it_finds_what_training_reports_and_writes_nothing(trained, quick_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = runs.dry_run(quick_config())
    result = json.loads(trained.result_file.read_text())
    assert found.parameters == result["parameters"]
    assert found.steps == json.loads(trained.metrics_file.read_text().splitlines()[-1])["step"]
    data = runs.load_data(trained)
    for name, split in (("train", data.train), ("val", data.val), ("test", data.test)):
        expected = Counter(data.class_names[label] for label in split.labels.tolist())
        assert dict(found.images[name]) == expected
    bank = 2 * len(data.train) * 128 * 4  # peers, images, embedding width, bytes of float32
    assert bank <= found.buffers["contrast"] <= 1.2 * bank
    assert found.preprocessing["image_size"] == data.image_size
    assert list(tmp_path.iterdir()) == []


class Clock:
    """A clock that stands still unless it is put forward."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds

    def slows(self, function, seconds):
        """Return the function; a call of it takes this time."""

        def slow(*arguments):
            self.seconds += seconds(*arguments)
            return function(*arguments)

        return slow


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock by which steps are timed."""
    found = Clock()
    monkeypatch.setattr(pace, "time", found)
    return found


def test_the_time_is_that_of_the_last_three_of_five_steps(quick_config, monkeypatch, clock):
    waits = iter([0.5, 0.5, *[0.01] * 100])
    monkeypatch.setattr(Trainer, "_step", clock.slows(Trainer._step, lambda *_: next(waits)))
    found = runs.dry_run(quick_config(epochs=100, batch_size=8))
    assert found.seconds_per_step == pytest.approx(0.01)
    expected = found.steps * found.seconds_per_step + 100 * found.evaluation_seconds[0] + found.evaluation_seconds[1]
    assert found.seconds == pytest.approx(expected)
    assert len(list(waits)) == 92  # five steps of the peers, five of the leader alone


def test_the_time_is_the_mean_over_steps_of_the_leader_and_of_all_peers(quick_config, monkeypatch, clock):
    monkeypatch.setattr(Learner, "step", clock.slows(Learner.step, lambda *_: 0.4))
    monkeypatch.setattr(Learner, "leader_step", clock.slows(Learner.leader_step, lambda *_: 0.1))
    found = runs.dry_run(quick_config(epochs=10, batch_size=8, growth={"start": 0.5}))
    assert found.seconds_per_step == pytest.approx(0.25)


def test_it_says_what_one_network_does_in_the_same_time(quick_config, monkeypatch, clock):
    slow = clock.slows(Trainer._step, lambda trainer, *_: 0.2 if trainer.cohort.peers == 1 else 0.6)
    monkeypatch.setattr(Trainer, "_step", slow)
    worth = runs.dry_run(quick_config(epochs=100)).worth
    assert worth is not None
    found = re.match(r"in the same time, one network alone trains for about (\d+) epochs; (.*)$", worth)
    assert found, worth
    assert int(found[1]) == 300
    assert "peers" in found[2]
    assert "docs/results/" in found[2]


def test_it_says_nothing_of_peers_for_one_network(quick_config):
    assert runs.dry_run(quick_config(peers=1, method="baseline")).worth is None


@pytest.mark.parametrize("steps", [1, 2])
def test_an_epoch_of_few_steps_writes_nothing(quick_config, tmp_path, monkeypatch, steps):
    monkeypatch.chdir(tmp_path)
    images = sum(runs.dry_run(quick_config()).images["train"].values())
    found = runs.dry_run(quick_config(batch_size=images // steps, checkpoint_every=1, log_every=1))
    assert found.steps_per_epoch == steps
    assert found.seconds_per_step > 0
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_writes_nothing(quick_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pace._Clock, "advance", lambda self, step: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted):
        runs.dry_run(quick_config())
    assert list(tmp_path.iterdir()) == []


def test_what_training_refuses_is_refused(quick_config):
    with pytest.raises(UserError, match="batch_size"):
        runs.dry_run(quick_config(batch_size=1))


def test_imbalance_and_unreadable_pictures(tmp_path):
    photos = write_class_folders(tmp_path / "photos", {"cat": 24, "dog": 6})
    (photos / "cat" / "broken.png").write_bytes(b"no picture")
    words = {"backbone": "resnet8", "image_size": 16, "batch_size": 4, "workers": 0, "cache": "off"}
    with pytest.raises(UserError, match=r"broken\.png"):
        pdl.dry_run(photos, **words)
    found = pdl.dry_run(photos, skip_unreadable=True, **words)
    assert found.unreadable == 1
    assert found.imbalance == found.images["train"]["cat"] / found.images["train"]["dog"] > 1.5
    assert sum(sum(counts.values()) for counts in found.images.values()) == 30
    assert json.loads(json.dumps(found.as_dict()))["estimated_seconds"] == found.seconds


def test_a_training_after_it_is_the_same(quick_config, tmp_path, train_quickly, trained):
    runs.dry_run(quick_config())
    train_quickly(quick_config(), tmp_path / "run")
    assert runs.Run(tmp_path / "run").metrics_file.read_bytes() == trained.metrics_file.read_bytes()


def test_images_in_memory_and_accumulation():
    images, labels = torch.zeros(40, 8, 8, dtype=torch.uint8), torch.arange(40) % 2
    found = pdl.dry_run((images, labels), class_names=["a", "b"], backbone="resnet8", batch_size=8, accumulate=2)
    assert sum(sum(counts.values()) for counts in found.images.values()) == 40
    assert found.steps_per_epoch == -(-(sum(found.images["train"].values()) // 8) // 2)

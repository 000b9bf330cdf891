"""Class weights and label smoothing of runs."""

from collections import Counter

import pytest
import torch

from peerdistill import runs
from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.runs.build import build_cohort
from peerdistill.runs.tasks import load_task
from support.console import silent_console
from support.digits import digit_images, write_npz


@pytest.fixture(scope="session")
def uneven(tmp_path_factory):
    """Digits of the classes a, b and c, most of them a."""
    images, labels = digit_images(3, 200)
    kept = (labels == 0) | (torch.arange(200).numpy() % 3 == 0)
    return f"npz:{write_npz(tmp_path_factory.mktemp('data') / 'uneven.npz', images[kept], labels[kept])}"


def criterion_of(config):
    task = load_task(config)
    cohort = build_cohort(config.cohort, channels=1, image_size=8, classes=3)
    return task.method(cohort).criterion, task.data


def test_balanced_weights_are_inverse_frequencies_of_the_training_images(uneven, quick_config):
    criterion, data = criterion_of(quick_config(uneven, class_weights="balanced", label_smoothing=0.1))
    counts = Counter(data.train.labels.tolist())
    assert counts[0] > counts[1]
    expected = [len(data.train) / (3 * counts[label]) for label in range(3)]
    assert criterion.class_weights.tolist() == pytest.approx(expected)
    assert criterion.label_smoothing == 0.1


def test_weights_of_a_file_are_in_the_order_of_the_classes(tmp_path, uneven, quick_config):
    (tmp_path / "w.csv").write_text("class,weight\nc,3\na,1\nb,2\n")
    criterion, _ = criterion_of(quick_config(uneven, class_weights=tmp_path / "w.csv"))
    assert criterion.class_weights.tolist() == [1.0, 2.0, 3.0]


def test_by_default_classes_have_no_weights(uneven, quick_config):
    criterion, _ = criterion_of(quick_config(uneven))
    assert (criterion.class_weights, criterion.label_smoothing) == (None, 0.0)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("{a: 1, b: 1, bb: 1, c: 1}", "unknown class in class_weights 'bb': choose from a, b, c"),
        ("{a: 1}", "class_weights must have a weight for every class of the data, it lacks 'b' and 'c'"),
        ("{a: 1, b: 0, c: 1}", "the weight of class 'b' in class_weights must be above 0"),
    ],
)
def test_wrong_weights_are_refused_before_anything_is_written(
    tmp_path, uneven, quick_config, train_quickly, weights, sentence
):
    with pytest.raises(UserError, match=sentence):
        train_quickly(quick_config(uneven, class_weights=weights), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_its_weights(tmp_path, uneven, quick_config, train_quickly, state_of, stop_and_resume):
    """They are part of its configuration: the file may be gone, and other weights are noticed."""
    file = tmp_path / "w.yaml"
    file.write_text("a: 1\nb: 2.5\nc: 4\n")
    options = {"method": "one", "label_smoothing": 0.1, "batch_size": 16}
    config = quick_config(uneven, class_weights=file, **options)
    whole = Run(tmp_path / "whole")
    train_quickly(config, whole.path)
    file.write_text("a: 1\nb: 2.75\nc: 4\n")
    other = quick_config(uneven, class_weights=file, **options)
    file.unlink()
    stopped = stop_and_resume(config, tmp_path / "stopped")
    assert state_of(stopped) == state_of(whole)
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()
    with pytest.raises(UserError, match=r"was started with class_weights\.b 2\.5, found 2\.75"):
        runs.train(other, whole.path, resume=True, console=silent_console())
    without = quick_config(uneven, **options)
    train_quickly(without, tmp_path / "without")
    assert state_of(Run(tmp_path / "without")) != state_of(whole)

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from peerdistill.training import TensorBoardLog
from support.logged import LOSS, reading, record


def curves(folder) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_has_every_curve(tmp_path):
    log = TensorBoardLog(tmp_path)
    for step in (1, 2):
        log.step(reading(step))
    log.epoch(record(1, 2))
    log.close()
    found = curves(tmp_path)
    assert found["images_per_second"] == [(1, pytest.approx(1234.4)), (2, pytest.approx(1234.4))]
    assert found["lr"] == [(1, pytest.approx(0.05)), (2, pytest.approx(0.025))]
    for name, value in LOSS.items():
        assert found[f"loss/{name}"] == [(1, value), (2, value)]
    top1 = {name.partition("/")[2]: points for name, points in found.items() if name.startswith("validation_top1/")}
    expected = {"peer0": 70.0, "peer1": pytest.approx(81.256), "leader": pytest.approx(81.256), "ensemble": 90.0}
    assert top1 == {name: [(2, value)] for name, value in expected.items()}


def test_tensorboard_without_validation_has_no_accuracy(tmp_path):
    log = TensorBoardLog(tmp_path)
    log.epoch(record(1, 2, leader=None))
    log.close()
    assert curves(tmp_path) == {}


def test_tensorboard_hides_points_that_a_resumed_run_repeats_and_keeps_the_others(tmp_path):
    first = TensorBoardLog(tmp_path)
    for step in (1, 2):
        first.step(reading(step))
    first.epoch(record(1, 2, leader=50.0))  # the checkpoint is of this step
    first.step(reading(3, speed=1.0))
    first.close()
    second = TensorBoardLog(tmp_path, resumed_at=2)
    second.step(reading(3, speed=2.0))
    second.close()
    found = curves(tmp_path)
    assert [step for step, _ in found["lr"]] == [1, 2, 3]
    assert found["images_per_second"][-1] == (3, 2.0)
    assert found["validation_top1/leader"] == [(2, 50.0)]

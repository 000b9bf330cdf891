import pytest

from peerdistill.errors import PeerdistillWarning
from peerdistill.training import Logger
from peerdistill.training.loggers.guarded import Guarded
from support.logged import reading, record


class Breaking(Logger):
    """A logger that fails from an epoch on."""

    def __init__(self, from_epoch: int):
        self.from_epoch = from_epoch
        self.received: list = []

    def step(self, reading):
        self.received.append(reading.step)

    def epoch(self, record):
        if record["epoch"] >= self.from_epoch:
            raise ConnectionError("the server is gone")
        self.received.append(f"epoch {record['epoch']}")

    def result(self, result):
        self.received.append(result)

    def close(self):
        self.received.append("closed")


def everything(logger: Logger) -> None:
    for epoch in (1, 2):
        logger.advance(epoch)
        logger.step(reading(epoch))
        logger.epoch(record(epoch, epoch))
    logger.result({"method": "dml"})
    logger.close()


def test_everything_is_passed_on(tmp_path):
    logger = Breaking(from_epoch=3)
    everything(Guarded(logger, "mine", tmp_path))
    assert logger.received == [1, "epoch 1", 2, "epoch 2", {"method": "dml"}, "closed"]


def test_after_an_error_there_is_one_warning_and_only_close(tmp_path):
    logger = Breaking(from_epoch=1)
    with pytest.warns(PeerdistillWarning) as warned:
        everything(Guarded(logger, "mine", tmp_path))
    assert [str(one.message) for one in warned] == [
        "the logger mine fails: the server is gone; training continues without it"
    ]
    assert logger.received == [1, "closed"]


@pytest.mark.filterwarnings("error")
def test_without_the_run_folder_the_trainer_reports_that(tmp_path):
    everything(Guarded(Breaking(from_epoch=1), "mine", tmp_path / "gone"))

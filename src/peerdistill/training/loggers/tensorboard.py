"""Curves for TensorBoard, in ``tensorboard/`` of the run folder."""

import threading
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerdistill.training.loggers.logger import LoggedRun, Logger, LoggerKind, StepReading

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog(Logger):
    """Curves for TensorBoard.

    Args:
        folder: Folder of the event files.
        resumed_at: Step at which the run is resumed. Later points of the interrupted run are hidden.
    """

    def __init__(self, folder: Path, resumed_at: int = 0):
        self._folder = folder
        self._resumed_at = resumed_at

    @cached_property
    def _writer(self) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter  # slow import, delayed until the first reading

        _silence_failing_writers()
        self._folder.mkdir(exist_ok=True)  # SummaryWriter would also create a run folder that was deleted
        # Points from `purge_step` on are hidden; the step of the checkpoint itself is kept.
        return SummaryWriter(str(self._folder), purge_step=self._resumed_at + 1 if self._resumed_at else None)

    def step(self, reading: StepReading) -> None:
        """Write speed, learning rate and loss."""
        self._writer.add_scalar("images_per_second", reading.images_per_second, reading.step)
        self._writer.add_scalar("lr", reading.lr, reading.step)
        for name, value in reading.loss.items():
            self._writer.add_scalar(f"loss/{name}", value, reading.step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Write the validation accuracies."""
        validation = record["validation"]
        if validation is None:
            return
        peers = {f"peer{number}": peer for number, peer in enumerate(validation["peers"])}
        single = {name: validation[name] for name in ("leader", "ensemble", "ema") if name in validation}
        for name, accuracy in {**peers, **single}.items():
            self._writer.add_scalar(f"validation_top1/{name}", accuracy["top1"], record["step"])

    def close(self) -> None:
        """Flush and close the file."""
        if "_writer" in vars(self):
            self._writer.close()


@cache
def _silence_failing_writers() -> None:
    """Suppress the traceback of TensorBoard's writer thread. The next call raises the same error."""
    from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread

    before = threading.excepthook

    def hook(args: Any) -> None:
        if not (isinstance(args.thread, _AsyncWriterThread) and issubclass(args.exc_type, OSError)):
            before(args)

    threading.excepthook = hook


def _open(run: LoggedRun) -> TensorBoardLog:
    return TensorBoardLog(run.folder / "tensorboard", run.step)


LOGGER = LoggerKind("tensorboard", "curves in tensorboard/ of the run folder", open=_open)

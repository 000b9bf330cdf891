"""How far a run is, and when it stops early."""

from dataclasses import dataclass


@dataclass
class Progress:
    """Completed steps and epochs of a run.

    Attributes:
        epoch: Epochs.
        step_in_epoch: Optimizer steps in the current epoch.
        step: Optimizer steps.
        best_top1: Highest validation top-1 accuracy of the leader in percent.
        best_epoch: The first epoch with that accuracy; 0: none was measured.
        epochs_without_better: Epochs since then.
        metrics_bytes: Size of ``metrics.jsonl``.

    Example:
        >>> progress = Progress()
        >>> for top1 in (60.0, 70.0, 70.0, 65.0):
        ...     progress.epoch += 1
        ...     better = progress.note_validation(top1)
        >>> progress.best_epoch, progress.epochs_without_better
        (2, 2)
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best_top1: float = -1.0
    best_epoch: int = 0
    epochs_without_better: int = 0
    metrics_bytes: int = 0

    def note_validation(self, top1: float) -> bool:
        """Record the accuracy of the leader after ``epoch`` epochs, and return whether it is the best so far."""
        if top1 <= self.best_top1:
            self.epochs_without_better += 1
            return False
        self.best_top1, self.best_epoch, self.epochs_without_better = top1, self.epoch, 0
        return True

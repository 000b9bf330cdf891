import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.training import Progress


@given(st.lists(st.sampled_from([0.0, 25.0, 50.0, 75.0, 100.0]), min_size=1, max_size=20))
def test_the_best_epoch_is_the_first_of_the_highest(accuracies):
    progress = Progress()
    for number, top1 in enumerate(accuracies, start=1):
        progress.epoch = number
        best = int(np.argmax(accuracies[:number])) + 1
        assert progress.note_validation(top1) == (best == number)
        assert (progress.best_epoch, progress.best_top1) == (best, max(accuracies[:number]))
        assert progress.epochs_without_better == number - best

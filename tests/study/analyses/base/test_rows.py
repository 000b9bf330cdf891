import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.study.analyses.base.rows import spaced_rows


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), most=st.integers(1, 70))
def test_every_class_keeps_its_share(labels, most):
    labels = np.array(labels)
    rows = spaced_rows(labels, most)
    assert len(rows) == min(most, len(labels))
    assert (np.diff(rows) > 0).all()
    counts, kept = (np.bincount(values, minlength=5) for values in (labels, labels[rows]))
    assert (np.abs(kept - counts * len(rows) / len(labels)) <= 1).all()

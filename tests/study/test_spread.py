import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from peerdistill.study.spread import spread

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=20)


@given(values=VALUES)
def test_the_interval_equals_that_of_the_t_test(values):
    found = spread(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    if found.deviation > 1e-6:
        low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (found.low, found.high) == (pytest.approx(low, rel=1e-6), pytest.approx(high, rel=1e-6))


def test_the_interval_of_one_value_is_infinite():
    assert (spread([3.0]).low, spread([3.0]).high) == (-math.inf, math.inf)

"""Names in two arrays are the names in a tuple."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.data.packed_names import PackedNames

# Surrogates stand for the bytes of file names that are not UTF-8.
NAMES = st.lists(st.text(st.one_of(st.characters(codec="utf-8"), st.integers(0xDC80, 0xDCFF).map(chr))))


@settings(deadline=None, max_examples=50)
@given(NAMES, st.data())
def test_as_a_tuple(names, data):
    packed = PackedNames(names)
    assert (len(packed), list(packed)) == (len(names), names)
    assert packed == names
    assert packed != [*names, "more"]
    start, stop, step = data.draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 3)))
    assert list(packed[start:stop:step]) == names[start:stop:step]
    if names:
        rows = data.draw(st.lists(st.integers(0, len(names) - 1)))
        assert list(packed.at(np.array(rows, dtype=int))) == [names[row] for row in rows]
        assert packed[-1] == names[-1]
        assert names[0] in packed
        assert np.array(packed).tolist() == np.array(names).tolist()


def test_a_row_that_does_not_exist():
    with pytest.raises(IndexError):
        PackedNames(["a"])[1]


def test_folder():
    packed = PackedNames(["cat/1.jpg", "/elsewhere/2.jpg"], folder="/photos")
    assert list(packed) == ["/photos/cat/1.jpg", "/elsewhere/2.jpg"]
    assert list(packed.inside) == ["cat/1.jpg", "/elsewhere/2.jpg"]
    assert list(packed.at(np.array([0])).inside) == ["cat/1.jpg"]
    assert list(PackedNames(["a"], folder=".")) == ["a"]


def test_pickled_and_of_many_names():
    names = [f"class{number % 7}/{number}.jpg" for number in range(150_000)]
    packed = pickle.loads(pickle.dumps(PackedNames(names, "photos")))
    assert list(packed.inside) == names
    content = sum(map(len, names))
    assert packed.nbytes == content + 2 * 8 * len(names)

"""The handwritten digits that scikit-learn contains."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from peerdistill.data.arrays import LabelledImages


def all_digits() -> LabelledImages:
    """Return scikit-learn's 1,797 digits: 8 x 8 pixels, bright ink on a black background."""
    table = _table()
    # The table has 17 levels of grey, 0..16.
    images = np.rint(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return LabelledImages(images, table[:, -1], tuple("0123456789"))


def _table() -> Integer[np.ndarray, "samples pixels_and_label"]:
    """Return scikit-learn's table of digits.

    It is read from the file of the installed package: to import scikit-learn takes half a second.
    """
    package = find_spec("sklearn")
    assert package is not None, "scikit-learn is required by this package"
    for place in package.submodule_search_locations or ():
        table = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if table.is_file():
            return np.loadtxt(table, dtype=np.int64, delimiter=",")
    from sklearn.datasets import load_digits  # this version keeps the file elsewhere

    pixels, labels = load_digits(return_X_y=True)
    return np.column_stack([pixels, labels]).astype(np.int64)

"""The handwritten digits that scikit-learn contains. A fifth of them is the test split."""

from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.data.config import DataConfig
    from peerdistill.data.dataset import Dataset


def load(request: "LoadRequest[DataConfig]") -> "Dataset":
    """Return the digits with their held-out splits."""
    from peerdistill.data.arrays import array_dataset
    from peerdistill.data.digits import all_digits

    return array_dataset("digits", all_digits(), None, request.config.validation)


SOURCE = Source("digits", "1,797 handwritten digits, 8 x 8 pixels, included", recipe="digits", load=load)

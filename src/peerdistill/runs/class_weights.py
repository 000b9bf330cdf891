"""The weights of the classes in the cross-entropy of a run."""

from collections.abc import Mapping

import numpy as np

from peerdistill.config.options import BALANCED
from peerdistill.data import Dataset
from peerdistill.errors import UserError, some_of, unknown_name


def class_weights_of(option: str | Mapping[str | int, float], data: Dataset) -> list[float] | None:
    """Return the weight of each class in the order of the classes of ``data``; None if all are 1.

    Args:
        option: "none", "balanced", or the weight of each class by its name. "balanced" weights are inversely
            proportional to the number of training images: ``images / (classes * images of the class)``, as in
            scikit-learn.
        data: The images.

    Raises:
        UserError: A class is unknown or has no weight.
    """
    if isinstance(option, str):
        return _balanced(data) if option == BALANCED else None
    for name in option:
        if name not in data.class_names:
            raise unknown_name("class in class_weights", str(name), data.class_names)
    if lacking := [name for name in data.class_names if name not in option]:
        raise UserError(f"class_weights must have a weight for every class of the data, it lacks {some_of(lacking)}")
    return [option[name] for name in data.class_names]


def _balanced(data: Dataset) -> list[float]:
    from sklearn.utils.class_weight import compute_class_weight

    # Every class has a training image: the sources of data check it.
    classes = np.arange(len(data.class_names))
    return compute_class_weight("balanced", classes=classes, y=data.train.labels.numpy()).tolist()

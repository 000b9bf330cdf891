"""Arrays in npz files; their classes are divided by their names."""

from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.fewshot.config import FewShotData
    from peerdistill.fewshot.dataset import ClassSource


def load(request: "LoadRequest[FewShotData]") -> "ClassSource":
    """Return the arrays."""
    from peerdistill.data.data_spec import named_files
    from peerdistill.data.npz import read_arrays
    from peerdistill.fewshot.dataset import ClassSource, divide_classes

    given = request.given
    images = read_arrays(named_files("data", request.config.data)) if given is None else given.images
    return ClassSource(images, divide_classes(images.class_names))


SOURCE = Source("npz", "arrays images, labels and class_names", recipe="folder", load=load, takes="files")

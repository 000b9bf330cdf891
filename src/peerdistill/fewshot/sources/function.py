"""Images that a function of the user's own code returns; their classes are divided by their names."""

from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.fewshot.config import FewShotData
    from peerdistill.fewshot.dataset import ClassSource


def load(request: "LoadRequest[FewShotData]") -> "ClassSource":
    """Return the images."""
    from peerdistill.data.own_code import load_own
    from peerdistill.fewshot.dataset import ClassSource, divide_classes

    images = load_own(request.config.data, request.config.image_size)
    return ClassSource(images, divide_classes(images.class_names))


SOURCE = Source(
    name="function",
    help="your own function, which returns images and labels",
    recipe="folder",
    load=load,
    takes="function",
)

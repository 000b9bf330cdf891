"""A folder or zip archive of class folders, or a folder with lists of pictures."""

from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.fewshot.config import FewShotData
    from peerdistill.fewshot.dataset import ClassSource


def load(request: "LoadRequest[FewShotData]") -> "ClassSource":
    """Return the pictures of the folder or archive."""
    from peerdistill.fewshot.pictures import load_pictures
    from peerdistill.paths import user_path

    config = request.config
    path = user_path(config.data, "data")
    return load_pictures(path, config.image_size, skip_unreadable=request.skip_unreadable)


SOURCE = Source(
    name="folder",
    help="a folder or zip archive of class folders",
    recipe="folder",
    load=load,
    takes="path",
    suffixes=(".zip",),
    of_pictures=True,
)

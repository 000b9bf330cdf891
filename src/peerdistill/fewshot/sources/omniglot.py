"""Omniglot: 1,623 handwritten characters, 20 drawings each, as 28 x 28 grey images."""

from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.fewshot.config import FewShotData
    from peerdistill.fewshot.dataset import ClassSource


def load(request: "LoadRequest[FewShotData]") -> "ClassSource":
    """Return Omniglot from the folder or file ``root``, downloaded if requested."""
    from peerdistill.fewshot.omniglot import load_omniglot
    from peerdistill.paths import user_path

    config = request.config
    return load_omniglot(
        user_path(config.root, "root"),
        config.class_split,
        download=request.download,
        skip_unreadable=request.skip_unreadable,
    )


SOURCE = Source(
    name="omniglot",
    help="1,623 characters, 28 x 28 pixels, --download fetches it",
    recipe="omniglot",
    load=load,
    options=frozenset({"class_split"}),
)

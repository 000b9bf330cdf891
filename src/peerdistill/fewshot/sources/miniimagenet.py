"""miniImageNet: ``train/``, ``val/`` and ``test/``, the lists of Ravi and Larochelle, or a zip archive ``mini*.zip``.

It is read from ``root`` or a folder ``miniimagenet`` there; it can't be downloaded automatically.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source
from peerdistill.errors import UserError
from peerdistill.paths import user_path

if TYPE_CHECKING:
    from peerdistill.fewshot.config import FewShotData
    from peerdistill.fewshot.dataset import ClassSource

_FOLDERS = ("miniimagenet", "mini-imagenet", "miniImageNet", "mini_imagenet")
_ARCHIVES = "mini*.zip"


def load(request: "LoadRequest[FewShotData]") -> "ClassSource":
    """Return miniImageNet from the folder ``root``."""
    from peerdistill.fewshot.pictures import load_pictures

    config = request.config
    place = _place(user_path(config.root, "root"))
    return load_pictures(place, config.image_size, skip_unreadable=request.skip_unreadable)


def _place(root: Path) -> Path:
    """Return the folder or archive of the pictures."""
    folders = (root, *(root / name for name in _FOLDERS))
    found = [folder for folder in folders if any((folder / name).exists() for name in ("train", "train.csv"))]
    found += sorted(root.glob(_ARCHIVES))
    if not found:
        raise UserError(
            f"'{root}' has no miniimagenet (no folder train, no train.csv, no archive {_ARCHIVES}): choose another "
            "folder with --root"
        )
    return found[0]


SOURCE = Source(
    name="miniimagenet",
    help="100 classes of photographs, from --root",
    recipe="miniimagenet",
    load=load,
    of_pictures=True,
)

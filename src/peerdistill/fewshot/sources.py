"""From the word a user gives to few-shot data."""

from pathlib import Path

from peerdistill.data.arrays import Statistics
from peerdistill.data.data_spec import NPZ, npz_files
from peerdistill.data.npz import read_arrays
from peerdistill.errors import UserError
from peerdistill.fewshot.cifar_fs import load_cifar_fs
from peerdistill.fewshot.config import FEW_SHOT_NAMES, FewShotData
from peerdistill.fewshot.dataset import ClassSource, FewShotDataset, assemble, divide_classes
from peerdistill.fewshot.omniglot import load_omniglot
from peerdistill.fewshot.pictures import load_pictures
from peerdistill.paths import user_path

_MINI_FOLDERS = ("miniimagenet", "mini-imagenet", "miniImageNet", "mini_imagenet")
_MINI_ARCHIVES = "mini*.zip"
# White paper is then 0, what convolutions pad with, and ink -1 (in Snell et al. 1): a sign that the first one absorbs.
_PAPER_IS_ZERO: tuple[Statistics, Statistics] = ((1.0,), (1.0,))


def load_few_shot(config: FewShotData, *, download: bool = False, skip_unreadable: bool = False) -> FewShotDataset:
    """Load the images that ``config`` names, all of them into memory, divided by classes.

    ``config.data`` is one of

    * ``omniglot``: see :func:`peerdistill.fewshot.omniglot.load_omniglot`.
    * ``cifar-fs``: see :func:`peerdistill.fewshot.cifar_fs.load_cifar_fs`.
    * ``miniimagenet``: in ``config.root``, or a folder ``miniimagenet`` there: ``train/``, ``val/`` and ``test/``; the
      lists of Ravi and Larochelle beside their pictures; or a zip archive ``mini*.zip`` of class folders.
    * ``npz:FILE,FILE,...``: arrays as for :func:`peerdistill.data.load_dataset`, their classes divided by their names.
    * a folder or zip archive of class folders: see :func:`peerdistill.fewshot.pictures.load_pictures`.

    Args:
        config: What to load.
        download: Fetch omniglot or cifar-fs where they are absent.
        skip_unreadable: Leave pictures out that can't be read, and count them, instead of stopping.

    Raises:
        UserError: A field is out of range, or what it names is absent, damaged or not of the form above.
    """
    config.check()
    source = _source(config, download=download, skip_unreadable=skip_unreadable)
    name = config.data if config.data in FEW_SHOT_NAMES else Path(config.data.removeprefix(NPZ).split(",")[0]).stem
    statistics = _PAPER_IS_ZERO if config.data == "omniglot" else None
    return assemble(name, source, rotations=config.rotations, trainval=config.trainval, statistics=statistics)


def _source(config: FewShotData, *, download: bool, skip_unreadable: bool) -> ClassSource:
    root = user_path(config.root, "root")
    if config.data == "omniglot":
        return load_omniglot(root, config.class_split, download=download, skip_unreadable=skip_unreadable)
    if config.data == "cifar-fs":
        return load_cifar_fs(root, download=download)
    if config.data.startswith(NPZ):
        images = read_arrays(npz_files("data", config.data))
        return ClassSource(images, divide_classes(images.class_names))
    return load_pictures(_place_of(config.data, root), config.image_size, skip_unreadable=skip_unreadable)


def _place_of(data: str, root: Path) -> Path:
    """Return the folder or archive of pictures that ``data`` names."""
    if data != "miniimagenet":
        return user_path(data, "data")
    folders = (root, *(root / name for name in _MINI_FOLDERS))
    found = [folder for folder in folders if any((folder / name).exists() for name in ("train", "train.csv"))]
    found += sorted(root.glob(_MINI_ARCHIVES))
    if not found:
        raise UserError(
            f"miniimagenet is not in '{root}' (no train folder, train.csv or {_MINI_ARCHIVES} there): "
            "--root names another folder"
        )
    return found[0]

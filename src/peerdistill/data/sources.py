"""From the word a user gives to a data set."""

from peerdistill.data.arrays import load_digits
from peerdistill.data.cifar import load_cifar
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset
from peerdistill.data.folders import load_folder
from peerdistill.data.npz import load_npz
from peerdistill.data.words import CIFAR_NAMES, NPZ, npz_files
from peerdistill.paths import user_path


def load_dataset(config: DataConfig, *, download: bool = False, skip_unreadable: bool = False) -> Dataset:
    """Load the images that ``config`` names, with a validation and a test split held out.

    A split never depends on a run's seed, and no validation image comes from the test set.

    ``config.data`` is one of

    * ``digits``: the 8 x 8 grey digits that ship with scikit-learn; a fifth of them is the test split.
    * ``cifar10``, ``cifar100``: the public python files in ``config.root``, their checksums verified.
    * ``npz:FILE,FILE,...``: arrays ``images`` (N, H, W[, C]) uint8, ``labels`` (N,) and ``class_names`` (C,), the
      files' samples one after the other; ``config.test`` names such files for the test split, else a fifth is held out.
    * a folder of class folders, or of ``train/``, ``val/`` and ``test/`` with class folders inside; see
      `peerdistill.data.folders.load_folder` for how it is divided and when its pictures are checked.

    Args:
        config: What to load.
        download: Fetch cifar10 or cifar100 where they are absent.
        skip_unreadable: Leave pictures of a folder out that can't be read, and count them, instead of stopping.

    Raises:
        UserError: A field is out of range, or what it names is absent, damaged or not of the form above.
    """
    config.check()
    if config.data.startswith(NPZ):
        test_files = None if config.test is None else npz_files("test", config.test)
        return load_npz(npz_files("data", config.data), test_files, config.validation)
    if config.data == "digits":
        return load_digits(config.validation)
    if config.data in CIFAR_NAMES:
        return load_cifar(config.data, user_path(config.root, "root"), config.validation, download=download)
    return load_folder(user_path(config.data, "data"), config, skip_unreadable=skip_unreadable)

"""CIFAR-10 in its public Python files, whose checksums are verified."""

from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.data.config import DataConfig
    from peerdistill.data.dataset import Dataset


def load(request: "LoadRequest[DataConfig]") -> "Dataset":
    """Return CIFAR-10 from the folder ``root``, downloaded if requested."""
    from peerdistill.data.cifar import load_cifar
    from peerdistill.paths import user_path

    config = request.config
    return load_cifar("cifar10", user_path(config.root, "root"), config.validation, download=request.download)


SOURCE = Source("cifar10", "10 classes, 32 x 32 pixels, --download fetches it", recipe="cifar", load=load)

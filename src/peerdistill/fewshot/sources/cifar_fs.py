"""CIFAR-FS: the classes of CIFAR-100 divided into 64 / 16 / 20, 32 x 32 pixels."""

from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.fewshot.config import FewShotData
    from peerdistill.fewshot.dataset import ClassSource


def load(request: "LoadRequest[FewShotData]") -> "ClassSource":
    """Return CIFAR-FS from the folder ``root``, downloaded if requested."""
    from peerdistill.fewshot.cifar_fs import load_cifar_fs
    from peerdistill.paths import user_path

    return load_cifar_fs(user_path(request.config.root, "root"), download=request.download)


SOURCE = Source("cifar-fs", "100 classes, 32 x 32 pixels, --download fetches it", recipe="cifar-fs", load=load)

"""Images given in Python: a run keeps them in its folder, and can be resumed, evaluated and exported as any other.

A configuration can only name images. It names the files in the run folder, which are written when training starts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peerdistill.config.config import Config
from peerdistill.data.arrays import GivenImages, LabelledImages
from peerdistill.data.checks import check_same_kind
from peerdistill.data.config import DataConfig
from peerdistill.data.python_images import described, labelled_images, rgb_square
from peerdistill.errors import UserError
from peerdistill.files import drafting, publish, write_synced
from peerdistill.runs.run import Run


def is_given(data: Any) -> bool:
    """Return whether ``data`` are images in memory, not the name of data."""
    return not isinstance(data, str | Path | Mapping)


def names_of(run: Run, *, has_test: bool) -> dict[str, str]:
    """Return the options ``data`` and ``test`` of a run that keeps its images."""
    found = {"data": f"npz:{run.images_file.absolute()}"}
    return {**found, "test": f"npz:{run.test_images_file.absolute()}"} if has_test else found


def given_images(data: Any, test: Any, class_names: Sequence[str] | None, config: Config) -> GivenImages:
    """Return images in memory as arrays, see :func:`peerdistill.data.python_images.labelled_images`.

    Args:
        data: All images, except the test images if there are any.
        test: The test images, or None.
        class_names: The names of the classes; None: those of ``data``.
        config: Configuration of the run, which decides the size of PIL images.

    Raises:
        UserError: They have another form, or test images have other classes or another size.
    """
    options = config.data
    size = options.preprocessing.image_size if isinstance(options, DataConfig) else options.image_size
    images = labelled_images("data", data, rgb_square(size), class_names=class_names)
    if test is None:
        return GivenImages(images)
    names = images.class_names
    held_out = labelled_images("test", test, rgb_square(size), class_names=class_names, default_names=names)
    check_same_kind("data", images, "test", held_out)
    return GivenImages(images, held_out)


def require_no_memory(data: Any, *, test: Any = None, class_names: Sequence[str] | None = None) -> None:
    """Raise UserError for what does not apply to data that have a name.

    Args:
        data: Name of the data; None: those of the run.
        test: The test images; None: not given.
        class_names: The names of the classes; None: not given.
    """
    where = "the data of the run" if data is None else f"data '{data}'"
    if class_names is not None:
        raise UserError(f"class_names applies to images in memory, found {where}")
    if is_given(test) and test is not None:
        raise UserError(f"test must be a name, as {where} is, found {described(test)}")


def keep_images(run: Run, given: GivenImages | None) -> None:
    """Write images in memory to the folder of a run, unless it has them.

    Raises:
        WriteError: They cannot be written.
    """
    if given is None:
        return
    for file, images in ((run.images_file, given.images), (run.test_images_file, given.test)):
        if images is not None and not file.exists():
            _write(file, images)


def _write(file: Path, images: LabelledImages) -> None:
    arrays = {
        "images": images.images,
        "labels": images.labels.astype(np.int64),
        "class_names": np.array(images.class_names, dtype=str),
    }
    with drafting(file) as draft:
        write_synced(draft, lambda opened: np.savez(opened, allow_pickle=False, **arrays))
        publish(draft, file)

"""Images from the user's own code: ``package.module:function``."""

from collections.abc import Sequence
from inspect import signature

from peerdistill.data.arrays import LabelledImages
from peerdistill.data.checks import check_same_kind
from peerdistill.data.python_images import labelled_images, rgb_square
from peerdistill.errors import UserError
from peerdistill.user_code import user_function


def load_own(name: str, image_size: int, class_names: Sequence[str] | None = None) -> LabelledImages:
    """Return what the user's function ``package.module:function``, called without arguments, returns as arrays.

    :func:`peerdistill.data.python_images.labelled_images` describes what it can return.

    Args:
        name: Name of the function.
        image_size: Side in pixels to which PIL images are resized.
        class_names: Class names if the function returns none.

    Raises:
        UserError: There is no such function, it needs arguments, or it returns something else.
    """
    function = user_function(name, "data")
    try:
        signature(function).bind()
    except TypeError as error:
        raise UserError(f"data {name} is called without arguments, but it needs some: {error}") from error
    except ValueError:  # a function in C without a signature
        pass
    returned = function()
    return labelled_images(f"data {name}", returned, rgb_square(image_size), default_names=class_names)


def load_own_test(name: str, source: LabelledImages, source_name: str, image_size: int) -> LabelledImages:
    """Return the test images of the user's function ``name``, as :func:`load_own`.

    Args:
        name: Name of the function.
        source: The training images, whose class names and image size the test images must have.
        source_name: Name of the function that returned them.
        image_size: Side in pixels to which PIL images are resized.

    Raises:
        UserError: As :func:`load_own`, or the class names or the image sizes differ.
    """
    test = load_own(name, image_size, source.class_names)
    check_same_kind(f"data {source_name}", source, f"data {name}", test)
    return test

"""Backbones by name.

A backbone of the package is a function with the decorator ``@register`` in a file of ``cifar/`` or ``adapters/``; no
list repeats its name. These files import PyTorch, so their names are read from the source text, and a file is imported
only when one of its networks is built. timm and torchvision are imported when a name is not one of the package's own.
"""

import ast
import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerdistill.backbones.adapters.timm_names import TimmName, is_sourced
from peerdistill.errors import UserError, unknown_name
from peerdistill.user_code import FORM

if TYPE_CHECKING:
    import peerdistill.backbones.backbone

_FOLDERS = ("cifar", "adapters")
_LIBRARIES = ("timm", "torchvision")


def names() -> tuple[str, ...]:
    """Return the names of the package's own backbones.

    Example:
        >>> from peerdistill import backbones
        >>> [name for name in backbones.names() if name.startswith("wrn")]
        ['wrn_40_2', 'wrn_16_2']
    """
    return tuple(discover())


@cache
def discover() -> dict[str, str]:
    """Return the module of each of the package's own backbones, by name."""
    modules = {}
    for folder in _FOLDERS:
        package = import_module(f"{__package__}.{folder}")
        for path in package.__path__:
            for file in sorted(Path(path).glob("*.py")):
                modules |= dict.fromkeys(_registered_names(file), f"{package.__name__}.{file.stem}")
    return modules


def _registered_names(file: Path) -> Iterator[str]:
    """Yield the names of the functions with the decorator ``@register`` in a source file."""
    for statement in ast.parse(file.read_bytes()).body:
        if isinstance(statement, ast.FunctionDef) and any(
            isinstance(decorator, ast.Name) and decorator.id == "register" for decorator in statement.decorator_list
        ):
            yield statement.name


def is_user_code(name: str) -> bool:
    """Return whether a name refers to a function in user code, ``package.module:function``."""
    prefix, colon, _ = name.partition(":")
    return bool(colon) and prefix not in _LIBRARIES and not is_sourced(name)


def resolve(name: str) -> str:
    """Return the full name of a backbone, which says where it is defined.

    A name without a prefix is looked up in :func:`names`, then in timm, then in torchvision. The full name of a network
    on the Hugging Face Hub or in a folder contains its architecture: it can be built without them later.

    Args:
        name: One of :func:`names`; a model of timm or torchvision with or without the prefix ``timm:`` or
            ``torchvision:``, for timm with arguments ("timm:resnet18?drop_path_rate=0.1"); ``timm:hf-hub:OWNER/NAME``;
            ``timm:local-dir:PATH``; or ``package.module:function``.

    Raises:
        UserError: If no backbone has this name, or its source cannot be read. A function in user code is looked up only
            when it is called.

    Example:
        >>> from peerdistill import backbones
        >>> backbones.resolve("resnet32"), backbones.resolve("mobilenetv3_small_100")
        ('resnet32', 'timm:mobilenetv3_small_100')
    """
    if name in discover() or is_user_code(name):
        return name
    prefix, model = _divided(name)
    if is_sourced(model):
        return f"timm:{_with_architecture(model)}"
    adapters = _adapters()
    for library, adapter in adapters.items():
        if prefix in ("", library) and adapter.has(model):
            return f"{library}:{model}"
    if prefix:
        raise unknown_name("backbone", name, [f"{prefix}:{other}" for other in adapters[prefix].names()])
    raise _unknown(name, [other for adapter in adapters.values() for other in adapter.names()])


def architecture(name: str) -> str:
    """Return the full name of the network without where its weights were found on the hub or in a folder.

    Args:
        name: Any name that :func:`resolve` accepts.

    Example:
        >>> from peerdistill import backbones
        >>> backbones.architecture("timm:local-dir:/nets/mine?architecture=resnet18&drop_rate=0.2")
        'timm:resnet18?drop_rate=0.2'
    """
    full_name = resolve(name)
    library, model = _divided(full_name)
    if not is_sourced(model):
        return full_name
    parsed = TimmName.parse(model)
    return f"{library}:{TimmName(parsed.architecture, parsed.arguments)}"


def has_source(name: str) -> bool:
    """Return whether a name says that a network is on the Hugging Face Hub or in a folder."""
    return is_sourced(_divided(name)[1])


def title(name: str) -> str:
    """Return a full name as a part of a file name.

    Example:
        >>> from peerdistill import backbones
        >>> backbones.title("timm:local-dir:/nets/mine?architecture=resnet18"), backbones.title("timm:resnet18")
        ('timm-local-dir-mine', 'timm-resnet18')
    """
    prefix, model = _divided(name)
    if prefix == "timm":
        parsed = TimmName.parse(model)
        model = f"{parsed.kind}-{Path(parsed.place).name}" if parsed.source else parsed.architecture
    return "-".join(filter(None, (prefix, model)))


def _divided(name: str) -> tuple[str, str]:
    """Return the library and the rest of a name; the library is empty if there is none."""
    prefix, colon, model = name.partition(":")
    if is_sourced(name):
        return "timm", name
    return (prefix, model) if colon else ("", name)


def _with_architecture(model: str) -> str:
    parsed = TimmName.parse(model)
    if parsed.architecture:
        return str(parsed)
    from peerdistill.backbones.adapters import timm_hub

    return str(timm_hub.described(parsed).name)


def _adapters() -> dict[str, Any]:
    """Return the adapter module of each library, in the order of the search."""
    return {library: import_module(f"{__package__}.adapters.{library}_models") for library in _LIBRARIES}


def _unknown(name: str, library_names: list[str]) -> UserError:
    """Return the error that suggests one of the package's own names, or a library's name if only that is similar."""
    own = [*names(), *(f"{library}:NAME" for library in _LIBRARIES), FORM]
    suggests_own = get_close_matches(name, own, n=1, cutoff=0.5) or not get_close_matches(
        name, library_names, n=1, cutoff=0.5
    )
    return unknown_name("backbone", name, own if suggests_own else library_names)


def build(
    name: str,
    *,
    classes: int,
    in_channels: int = 3,
    image_size: int | None = None,
    classifier: str | None = None,
) -> "peerdistill.backbones.backbone.Backbone":
    """Return a backbone by name.

    Args:
        name: Any name that :func:`resolve` accepts.
        classes: Output width of the classifier.
        in_channels: Channels of the images: 1 for grey, 3 for RGB.
        image_size: Side of the images in pixels. Used by networks with a fixed input size (such as ViT), and to
            measure the forward cost that decides where branches part. The default is the network's usual size.
        classifier: For ``package.module:function`` only: attribute name of the classifier. The default is the last
            linear layer.

    Raises:
        UserError: If the name is unknown, ``classes`` is below 2, ``in_channels`` is below 1, or the network cannot be
            a peer: it does not accept such images, or no linear layer returns its logits.

    Example:
        >>> from peerdistill import backbones
        >>> backbone = backbones.build("resnet32", classes=100)
        >>> [stage.name for stage in backbone.stages], backbone.share_until
        (['stem', 'layer1', 'layer2', 'layer3'], 'layer1')
        >>> network = backbone.network()  # an nn.Module with fresh weights
    """
    full_name = resolve(name)
    if classes < 2:
        raise UserError(f"classes must be at least 2, found {classes}")
    if in_channels < 1:
        raise UserError(f"in_channels must be at least 1, found {in_channels}")
    if is_user_code(full_name):
        from peerdistill.backbones.adapters import user_code

        return user_code.backbone(full_name, classes, in_channels, image_size, classifier)
    if classifier is not None:
        raise UserError(
            f"'classifier' applies only to your own backbones ({FORM}): the classifier of {full_name} is known, "
            "leave the option out"
        )
    if full_name in discover():
        return _build_registered(full_name, classes, in_channels, image_size)
    library, model = _divided(full_name)
    return _adapters()[library].backbone(model, classes, in_channels, image_size)


def pretrained_input(name: str) -> "peerdistill.backbones.backbone.PretrainedInput | None":
    """Return the images that the pretrained weights of a backbone expect; None if it is not from timm or torchvision.

    Args:
        name: Any name that :func:`resolve` accepts.

    Raises:
        UserError: If the name is unknown.

    Example:
        >>> from peerdistill import backbones
        >>> backbones.pretrained_input("timm:tf_efficientnet_lite0").mean
        (0.5, 0.5, 0.5)
    """
    full_name = resolve(name)
    if is_user_code(full_name):
        return None
    if full_name in discover():
        module = import_module(discover()[full_name])
        return module.pretrained_input(full_name) if hasattr(module, "pretrained_input") else None
    library, model = _divided(full_name)
    return _adapters()[library].pretrained_input(model)


def _build_registered(
    name: str, classes: int, in_channels: int, image_size: int | None
) -> "peerdistill.backbones.backbone.Backbone":
    from peerdistill.backbones.registry import builder_of

    import_module(discover()[name])
    builder = builder_of(name)
    sized = image_size is not None and "image_size" in inspect.signature(builder).parameters
    return builder(classes, in_channels, **({"image_size": image_size} if sized else {}))

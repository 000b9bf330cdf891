"""Registration of the package's own backbones, at their definition."""

from collections.abc import Callable

from peerdistill.backbones.backbone import Backbone

_BUILDERS: dict[str, Callable[..., Backbone]] = {}


def register(builder: Callable[..., Backbone]) -> Callable[..., Backbone]:
    """Make ``builder`` available as the backbone with the function's name.

    The function takes ``classes`` and ``in_channels``, and also ``image_size`` if its network depends on it.
    :mod:`peerdistill.backbones.catalog` reads the name from the source file without importing it, so the decorator must
    be written as ``@register``.

    Raises:
        ValueError: If a function in another file has the same name.
    """
    name = builder.__name__
    registered = _BUILDERS.setdefault(name, builder)
    if registered.__module__ != builder.__module__:
        raise ValueError(f"backbone {name} is registered in {registered.__module__} and in {builder.__module__}")
    return builder


def builder_of(name: str) -> Callable[..., Backbone]:
    """Return the registered function; its module must have been imported."""
    return _BUILDERS[name]

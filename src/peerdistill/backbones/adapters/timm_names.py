"""Names of timm's networks with arguments, and of networks on the Hugging Face Hub or in a local folder.

Importing this module imports neither PyTorch nor timm.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from peerdistill.errors import UserError, shortened
from peerdistill.paths import absolute_path

HUB, FOLDER = "hf-hub", "local-dir"
"""Where a network can be described other than in timm, by timm's names."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of such a network."""

_ARCHITECTURE = "?architecture="
_PLAIN = ",.[]:-_ "  # kept in the values of arguments


@dataclass(frozen=True)
class TimmName:
    """A name without the prefix ``timm:``.

    Attributes:
        architecture: Name of timm's model, possibly with a tag for its weights; empty if only the source says it.
        arguments: Further arguments of ``timm.create_model``, JSON values.
        source: ``hf-hub:OWNER/NAME`` or ``local-dir:PATH``: where config and weights are; empty for timm itself.

    Example:
        >>> name = TimmName.parse("resnet18?drop_path_rate=0.1&block_args=[1,2]")
        >>> name.architecture, dict(name.arguments)
        ('resnet18', {'drop_path_rate': 0.1, 'block_args': [1, 2]})
        >>> str(name)
        'resnet18?drop_path_rate=0.1&block_args=[1,2]'
        >>> TimmName.parse("hf-hub:timm/resnet18.a1_in1k?architecture=resnet18").source
        'hf-hub:timm/resnet18.a1_in1k'
    """

    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def parse(cls, text: str) -> "TimmName":
        """Return the name that :meth:`__str__` wrote, or a user.

        Raises:
            UserError: If an argument has no value, or the source has no name.
        """
        if is_sourced(text):
            source, _, rest = text.partition(_ARCHITECTURE)
            architecture, _, arguments = rest.partition("&")
            return cls(architecture, _parsed(arguments, text), _checked_source(source))
        architecture, _, arguments = text.partition("?")
        return cls(architecture, _parsed(arguments, text))

    def __str__(self) -> str:
        arguments = [f"{name}={quote(_as_text(value), safe=_PLAIN)}" for name, value in self.arguments.items()]
        if self.source and not self.architecture:
            return self.source
        if self.source:
            return "&".join([f"{self.source}{_ARCHITECTURE}{self.architecture}", *arguments])
        return self.architecture + ("?" + "&".join(arguments) if arguments else "")

    @property
    def kind(self) -> str:
        """``hf-hub`` or ``local-dir``; empty without a source."""
        return self.source.partition(":")[0]

    @property
    def place(self) -> str:
        """OWNER/NAME on the hub, or the folder."""
        return self.source.partition(":")[2]

    @property
    def short(self) -> str:
        """The source without the architecture that it describes, else the whole name."""
        return self.source or str(self)


def is_sourced(text: str) -> bool:
    """Return whether a name, without the prefix ``timm:``, names the hub or a folder."""
    return text.partition(":")[0] in (HUB, FOLDER)


def _checked_source(source: str) -> str:
    """Return a source with an absolute path."""
    kind, _, place = source.partition(":")
    if kind == FOLDER:
        return f"{kind}:{absolute_path(place, FOLDER)}"
    owner, _, name = place.partition("/")
    if not (owner and name) or "/" in name or place != place.strip():
        raise UserError(f"{HUB} needs OWNER/NAME, found '{shortened(place)}'")
    return source


def _parsed(arguments: str, name: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(arguments, keep_blank_values=True, strict_parsing=bool(arguments), max_num_fields=100)
    except ValueError as error:
        raise UserError(f"backbone {shortened(name)}: arguments must have the form NAME=VALUE&NAME=VALUE") from error
    return {key: _as_value(text) for key, text in pairs}


def _as_value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _as_text(value: Any) -> str:
    if isinstance(value, str) and _as_value(value) == value:
        return value
    return json.dumps(value, separators=(",", ":"))

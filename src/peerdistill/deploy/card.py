"""What a leader's file says of itself, so that pictures can be prepared and classes named without the run."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from peerdistill.data.pictures import fit, open_picture
from peerdistill.errors import UserError

_PREFIX = "peerdistill."
_VERSION_KEY = f"{_PREFIX}card"
_VERSION = "1"


@dataclass(frozen=True)
class LeaderCard:
    """How to rebuild a leader, prepare its pictures and name its classes.

    Attributes:
        backbone: Name that ``peerdistill.backbones.build`` takes.
        class_names: One for each logit, in order; none for an encoder, which gives features.
        image_size: Height and width of the input, in pixels.
        channels: 1 for grey, 3 for RGB.
        mean: Of pixels in 0..1, one for each channel.
        std: Of pixels in 0..1, one for each channel.
        crop: Share of the shorter side that the centre crop keeps; 1.0 keeps all of it.

    Raises:
        UserError: For values that describe no classifier or encoder of pictures.
    """

    backbone: str
    class_names: tuple[str, ...]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float

    def __post_init__(self) -> None:
        if len(self.class_names) == 1:
            raise UserError("class_names must name at least 2 classes, found 1")
        if self.image_size < 1:
            raise UserError(f"image_size must be at least 1, found {self.image_size}")
        if self.channels not in (1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (RGB), found {self.channels}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise UserError(
                f"mean and std need one value for each of {self.channels} channels, "
                f"found {len(self.mean)} and {len(self.std)}"
            )
        if not all(map(math.isfinite, self.mean)) or not all(0 < s < math.inf for s in self.std):
            raise UserError(f"mean must be finite and std positive, found {self.mean} and {self.std}")
        if not 0 < self.crop <= 1:
            raise UserError(f"crop must be above 0 and at most 1, found {self.crop}")

    @property
    def is_encoder(self) -> bool:
        """Whether what it gives of a picture are features, for lack of classes."""
        return not self.class_names

    @property
    def output(self) -> str:
        """What it gives of a picture: "logits" or "features"."""
        return "features" if self.is_encoder else "logits"

    @property
    def answer(self) -> str:
        """What two of its kind agree on where they give the same of a picture."""
        return "same nearest picture" if self.is_encoder else "same class"

    def images(self, paths: Sequence[Path]) -> Float32[np.ndarray, "batch channels height width"]:
        """Return pictures as the leader takes them, pixels in 0..1.

        Raises:
            UserError: For a file that is no picture.
        """
        pixels = [fit(open_picture(path), self.image_size, self.channels, self.crop) for path in paths]
        return np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32) / 255

    def to_metadata(self) -> dict[str, str]:
        """Return the card as the text pairs that model files carry; each value is JSON."""
        values = {_PREFIX + name: json.dumps(value) for name, value in {**asdict(self), "output": self.output}.items()}
        return {_VERSION_KEY: _VERSION, **values}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, source: Path) -> "LeaderCard":
        """Return the card that :meth:`to_metadata` wrote; other keys are ignored.

        Args:
            metadata: Text pairs found in a model file, None where it has none.
            source: The file, for error messages.

        Raises:
            UserError: If there is no card, one of another version, or a damaged one.
        """
        version = (metadata or {}).get(_VERSION_KEY)
        if metadata is None or version is None:
            raise UserError(f"{source} was not exported by peerdistill: it holds no leader card")
        if version != _VERSION:
            raise UserError(f"{source} holds a leader card of version {version}; this peerdistill reads {_VERSION}")
        try:
            return cls(**{field.name: _parsed(metadata[_PREFIX + field.name]) for field in fields(cls)})
        except KeyError as error:
            raise UserError(f"{source} holds a damaged leader card: {error} is missing") from error
        except (TypeError, ValueError) as error:
            raise UserError(f"{source} holds a damaged leader card: {error}") from error


def _parsed(text: str) -> Any:
    value = json.loads(text)
    return tuple(value) if isinstance(value, list) else value

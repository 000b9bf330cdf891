"""The card in a leader's file: how to prepare pictures and name classes without the run."""

import json
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL import Image

from peerdistill.data.images.decode import open_picture
from peerdistill.data.images.preprocess import INTERPOLATIONS, fit
from peerdistill.deploy.what import NAMES, in_words, is_what
from peerdistill.errors import UserError

_PREFIX = "peerdistill."
_VERSION_KEY = f"{_PREFIX}card"
_VERSION = "1"

MAX_IMAGE_SIZE = 4096
"""Largest side of the input in pixels: one float32 RGB image of this size takes 192 MiB."""

# Longer than any real name. Searching similar names of a million letters would be slow.
_MAX_NAME = 1000
# The resized picture has image_size / crop pixels per side; this keeps it within Pillow's limits.
_MIN_CROP = 0.01
_LONGEST_SHOWN = 80
# Values that a file does not contain: it has the field only for another value.
_ASSUMED = {"temperature": None, "interpolation": "bilinear", "what": None, "method": None, "peers": None}
_FLOATS = ("mean", "std", "crop", "temperature")
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class LeaderCard:
    """How to build a leader, prepare its pictures and name its classes.

    Attributes:
        backbone: Name for ``peerdistill.backbones.build``.
        class_names: Class of each logit; empty for an encoder, which gives features.
        image_size: Height and width of the input in pixels, at most 4096.
        channels: 1 for grey, 3 for RGB.
        mean: Mean of each channel, for pixels in 0..1.
        std: Standard deviation of each channel, for pixels in 0..1.
        crop: Fraction of the shorter side that the centre crop keeps, from 0.01 to 1.0.
        temperature: The leader divides its logits by it, so that its probabilities are calibrated; None: it does not.
        interpolation: Filter with which pictures are resized, "bilinear" or "bicubic".
        what: Which network of its run the file holds: "leader", "ensemble", "peer:K", "ema" or "average"; None: not
            known.
        method: The method that trained it; None: not known.
        peers: The number of peers that were trained together; None: not known.

    Raises:
        UserError: If a value has the wrong type or is out of range.

    Example:
        >>> card = LeaderCard("resnet20", ("cat", "dog"), 32, 3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 1.0)
        >>> card.to_metadata()["peerdistill.class_names"]
        '["cat", "dog"]'
    """

    backbone: str
    class_names: tuple[str, ...]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float
    temperature: float | None = None
    interpolation: str = "bilinear"
    what: str | None = None
    method: str | None = None
    peers: int | None = None

    def __post_init__(self) -> None:
        _check(**vars(self))

    @property
    def is_encoder(self) -> bool:
        """Whether the leader has no classes and returns features."""
        return not self.class_names

    @property
    def output(self) -> str:
        """What the leader returns: "logits" or "features"."""
        return "features" if self.is_encoder else "logits"

    @property
    def name(self) -> str:
        """What the file holds, in words, such as "the leader"."""
        return in_words(self.what)

    @property
    def same_answer(self) -> str:
        """What agreement of two leaders means: "same class" or, for an encoder, "same nearest picture"."""
        return "same nearest picture" if self.is_encoder else "same class"

    def images(
        self, pictures: Sequence[Path | str | Image.Image]
    ) -> Float32[np.ndarray, "batch channels height width"]:
        """Return pictures, files or PIL images, as the leader's input, with pixels in 0..1.

        Raises:
            UserError: If a file is not a picture.
        """
        how = (self.image_size, self.channels, self.crop, self.interpolation)
        opened = (one if isinstance(one, Image.Image) else open_picture(one) for one in pictures)
        pixels = [fit(picture, *how) for picture in opened]
        return np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32) / 255

    def to_metadata(self) -> dict[str, str]:
        """Return the card as pairs of text for the metadata of a model file; each value is JSON."""
        found = {**vars(self), "output": self.output}
        values = {name: value for name, value in found.items() if name not in _ASSUMED or value != _ASSUMED[name]}
        return {_VERSION_KEY: _VERSION, **{_PREFIX + name: json.dumps(value) for name, value in values.items()}}

    @staticmethod
    def is_in(metadata: Mapping[str, str] | None) -> bool:
        """Return whether the metadata of a model file contain a card, of any version."""
        return _VERSION_KEY in (metadata or {})

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, source: Path) -> "LeaderCard":
        """Return the card that :meth:`to_metadata` wrote; other keys are ignored.

        Args:
            metadata: Metadata of a model file, None if it has none.
            source: The file, for error messages.

        Raises:
            UserError: If there is no card, or it has another version or is damaged.
        """
        version = (metadata or {}).get(_VERSION_KEY)
        if metadata is None or version is None:
            raise UserError(f"{source} was not exported by peerdistill: it has no leader card")
        if version != _VERSION:
            raise UserError(
                f"{source} has a leader card of version {_shown(version)}; this peerdistill reads version '{_VERSION}'"
            )
        try:
            known = [field.name for field in fields(cls)]
            names = [name for name in known if name not in _ASSUMED or _PREFIX + name in metadata]
            values = {**_ASSUMED, **{name: _parsed(metadata[_PREFIX + name]) for name in names}}
            _check(**values)  # the values may have any type
            return cls(**values | {name: _as_float(values[name]) for name in _FLOATS})
        except KeyError as error:
            raise UserError(f"{source} has a damaged leader card: {error} is missing") from error
        except Exception as error:  # JSON may be malformed, too deep or contain numbers with too many digits
            reason = str(error) or type(error).__name__
            raise UserError(f"{source} has a damaged leader card: {reason}") from error


def _check(
    *,
    backbone: Any,
    class_names: Any,
    image_size: Any,
    channels: Any,
    mean: Any,
    std: Any,
    crop: Any,
    temperature: Any,
    interpolation: Any,
    what: Any,
    method: Any,
    peers: Any,
) -> None:
    """Raise UserError for the first value that is not allowed."""
    _check_name("backbone", backbone)
    _check_class_names(class_names)
    if not (_is_whole(image_size) and 1 <= image_size <= MAX_IMAGE_SIZE):
        raise UserError(f"image_size must be a whole number from 1 to {MAX_IMAGE_SIZE}, found {_shown(image_size)}")
    if not (_is_whole(channels) and channels in (1, 3)):
        raise UserError(f"channels must be 1 (grey) or 3 (RGB), found {_shown(channels)}")
    _check_statistics(mean, std, channels)
    if not (_is_number(crop) and _MIN_CROP <= crop <= 1):
        raise UserError(f"crop must be a number from {_MIN_CROP} to 1, found {_shown(crop)}")
    if interpolation not in INTERPOLATIONS:
        raise UserError(f"interpolation must be {' or '.join(INTERPOLATIONS)}, found {_shown(interpolation)}")
    if temperature is not None:
        _check_temperature(temperature, is_encoder=not class_names)
    if what is not None and not is_what(what):
        raise UserError(f"what must be one of {', '.join(NAMES)}, found {_shown(what)}")
    if method is not None:
        _check_name("method", method)
    if peers is not None and not (_is_whole(peers) and peers >= 1):
        raise UserError(f"peers must be a whole number of at least 1, found {_shown(peers)}")


def _check_name(kind: str, value: Any) -> None:
    if not (isinstance(value, str) and 0 < len(value) <= _MAX_NAME):
        raise UserError(f"{kind} must be a name of at most {_MAX_NAME} letters, found {_shown(value)}")


def _check_temperature(temperature: Any, *, is_encoder: bool) -> None:
    if not (_is_number(temperature) and np.float32(temperature) > 0):
        raise UserError(f"temperature must be a positive number, found {_shown(temperature)}")
    if is_encoder:
        raise UserError(f"temperature applies to classifiers only, and an encoder has {_shown(temperature)}")


def _check_class_names(names: Any) -> None:
    if not isinstance(names, tuple):
        raise UserError(f"class_names must be a list of names, found {_shown(names)}")
    if len(names) == 1:
        raise UserError("class_names must name at least 2 classes, found 1")
    for name in names:
        if not (isinstance(name, str) and name):
            raise UserError(f"class_names must be texts that are not empty, found {_shown(name)}")
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise UserError(f"class_names must differ from each other, found {_shown(twice)} twice")


def _check_statistics(mean: Any, std: Any, channels: int) -> None:
    if not (isinstance(mean, tuple) and isinstance(std, tuple)):
        raise UserError(f"mean and std must be lists of numbers, found {_shown(mean)} and {_shown(std)}")
    if not len(mean) == len(std) == channels:
        raise UserError(
            f"mean and std need one value for each of {channels} channels, found {len(mean)} and {len(std)}"
        )
    # As float32, in which images are normalised: 1e-60 would become a division by zero.
    if not all(map(_is_number, (*mean, *std))) or not all(np.float32(value) > 0 for value in std):
        raise UserError(f"mean must be finite and std positive, found {_shown(mean)} and {_shown(std)}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_float(value: Any) -> Any:
    """Return a number, or each of several, as a float: JSON may have 0 for 0.0. None stays None."""
    if value is None:
        return None
    return tuple(map(float, value)) if isinstance(value, tuple) else float(value)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that float32 can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _shown(value: Any) -> str:
    """Return a value as one short line for a message."""
    try:
        text = reprlib.repr(value)
    except ValueError:  # Python does not convert integers of more than 4,300 digits
        return "a number with too many digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _parsed(text: str) -> Any:
    value = json.loads(text, parse_constant=_refuse_constant)
    return tuple(value) if isinstance(value, list) else value


def _refuse_constant(name: str) -> Any:
    raise UserError(f"{name} is not a number in JSON")

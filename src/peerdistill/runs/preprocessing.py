"""The preprocessing that pretrained weights expect, as options of the data."""

import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

from peerdistill import backbones
from peerdistill.backbones import PretrainedInput
from peerdistill.config.config import CohortConfig, Config
from peerdistill.data.config import DataConfig, Interpolation, Preprocessing
from peerdistill.data.images.preprocess import INTERPOLATIONS
from peerdistill.deploy import formats
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.fewshot.config import FewShotData
from peerdistill.runs.pretrained import read_weights


def as_expected(config: Config) -> Config:
    """Return the configuration with the preprocessing that its pretrained weights expect; given options are kept.

    Weights of a run, or of a file with a leader card, expect the preprocessing of the card; those of a folder in hub
    layout that of its ``config.json``; all others that of their backbone.

    Raises:
        UserError: The file of the weights is missing or damaged, or pictures were resized in a way that is not
            supported.
    """
    data, cohort = config.data, config.cohort
    if not (cohort.pretrained or cohort.weights):
        return config
    return replace(config, data=data.resolved(_expected(cohort, data)))


def as_started(config: Config, before: Config) -> Config:
    """Return the configuration of a resumed run: preprocessing that is not given is that with which it was started."""
    given = [field.name for field in fields(Preprocessing) if hasattr(config.data, field.name)]
    started = {name: getattr(before.data, name) for name in given if getattr(config.data, name) is None}
    return replace(config, data=replace(config.data, **started))


def _expected(cohort: CohortConfig, data: DataConfig | FewShotData) -> Preprocessing | None:
    if cohort.weights and (card := read_weights(cohort.weights)[0]):
        return Preprocessing(card.image_size, card.mean, card.std, card.crop, _filter(card.interpolation, cohort, data))
    in_folder = cohort.weights is not None and formats.find("timm").recognises(Path(cohort.weights))
    found = backbones.pretrained_input(f"timm:local-dir:{cohort.weights}" if in_folder else cohort.backbone)
    for name in cohort.peer_backbones or ():
        _warn_if_different(cohort.backbone, found, name)
    if found is None:
        return None
    # A crop above 1 would need pixels beyond the picture.
    crop = min(1.0, found.crop)
    return Preprocessing(found.image_size, found.mean, found.std, crop, _filter(found.interpolation, cohort, data))


def _filter(name: str, cohort: CohortConfig, data: DataConfig | FewShotData) -> Interpolation:
    if name in INTERPOLATIONS:
        return cast(Interpolation, name)
    if isinstance(data, DataConfig) and data.interpolation is None and data.sources.of_pictures(data.data):
        raise UserError(
            f"{cohort.backbone} was pretrained with interpolation {name}, which is not supported: "
            f"set interpolation to {' or '.join(INTERPOLATIONS)}"
        )
    return Preprocessing().interpolation  # not used


def _warn_if_different(leader: str, expected: PretrainedInput | None, name: str) -> None:
    other = backbones.pretrained_input(name)
    if other is not None and expected is not None and (other.mean, other.std) != (expected.mean, expected.std):
        text = (
            f"{name} was pretrained with mean {list(other.mean)} and std {list(other.std)}, but all peers see images "
            f"normalised for {leader}: mean {list(expected.mean)} and std {list(expected.std)}"
        )
        warnings.warn(text, PeerdistillWarning, stacklevel=4)

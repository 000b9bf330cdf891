"""Networks of timm that a ``config.json`` describes: on the Hugging Face Hub, or in a folder with the same files.

Only ``config.json`` and ``model.safetensors`` are read, never a pickle.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import timm
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import load_file
from timm.models import PretrainedCfg, load_model_config_from_hf, load_state_dict_from_hf
from timm.models._hub import load_model_config_from_path
from torch import Tensor

from peerdistill.backbones.adapters.timm_names import CONFIG, HUB, WEIGHTS, TimmName
from peerdistill.errors import UserError, cause, reading, shortened

OF_THE_DATA = ("num_classes", "in_chans", "img_size")
"""Arguments of a network that follow from the data."""


class Described(NamedTuple):
    """What a ``config.json`` says.

    Attributes:
        name: The source with its architecture and arguments.
        pretrained: timm's description of the weights.
    """

    name: TimmName
    pretrained: PretrainedCfg


def described(name: TimmName) -> Described:
    """Read the ``config.json`` of a source.

    Raises:
        UserError: If the source cannot be read, is not the description of a network, or names an unknown architecture.
    """
    configuration = f"{name.place}/{CONFIG}"
    found, architecture, arguments = _parsed(name, configuration)
    if not (isinstance(architecture, str) and isinstance(arguments, dict) and isinstance(found, dict)):
        raise UserError(f"{configuration} does not describe a network of timm")
    if not timm.is_model(architecture):
        raise UserError(f"{configuration} names the architecture '{shortened(architecture)}', which timm does not have")
    known = {field.name for field in fields(PretrainedCfg)}
    with reading(f"{configuration} does not describe a network of timm"):
        pretrained = PretrainedCfg(**{key: value for key, value in found.items() if key in known})
    arguments = {key: value for key, value in arguments.items() if key not in OF_THE_DATA}
    return Described(TimmName(architecture, arguments, name.source), pretrained)


def weights(name: TimmName) -> Mapping[str, Tensor]:
    """Read the ``model.safetensors`` of a source.

    Raises:
        UserError: If it is missing or cannot be read.
    """
    if name.kind == HUB:
        return _from_hub(name, lambda: load_state_dict_from_hf(name.place, WEIGHTS))
    file = Path(name.place) / WEIGHTS
    if not file.is_file():
        raise _no_file(name, WEIGHTS)
    with reading(f"{file} is not a safetensors file"):
        return load_file(file)


def _parsed(name: TimmName, configuration: str) -> tuple[Any, Any, Any]:
    if name.kind == HUB:
        return _from_hub(name, lambda: load_model_config_from_hf(name.place))
    folder = Path(name.place)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder} for the backbone timm:{name.source}")
    if not (folder / CONFIG).is_file():
        raise _no_file(name, CONFIG)
    with reading(f"{configuration} does not describe a network of timm"):
        return load_model_config_from_path(folder)


def _from_hub(name: TimmName, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except EntryNotFoundError as error:
        if not isinstance(error, LocalEntryNotFoundError):
            raise _no_file(name, f"{CONFIG} or {WEIGHTS}") from error
        raise UserError(f"{name.source} cannot be read from the Hugging Face Hub: {cause(error)}") from error
    except Exception as error:  # a download, or the content of its files, may raise anything
        raise UserError(f"{name.source} cannot be read from the Hugging Face Hub: {cause(error)}") from error


def _no_file(name: TimmName, file: str) -> UserError:
    return UserError(f"{name.place} has no {file}: a network needs {CONFIG} and {WEIGHTS}, pickled files are not read")

"""A folder as on the Hugging Face Hub, which ``timm.create_model("local-dir:PATH", pretrained=True)`` loads.

It holds ``config.json``, ``model.safetensors`` (with the leader's card) and the model card ``README.md``.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from peerdistill import backbones
from peerdistill.backbones.adapters.timm_names import CONFIG, WEIGHTS, TimmName
from peerdistill.deploy.formats.format import Check, ExportError, Format, Leader
from peerdistill.deploy.formats.safetensors import open_safetensors, write_safetensors
from peerdistill.errors import reading
from peerdistill.markdown import as_markdown

if TYPE_CHECKING:
    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.formats.format import Opened

MODEL_CARD = "README.md"

_PREFIX = "timm:"
_LICENCE = "unknown"
# They describe the weights that timm offers for the architecture, not these.
_OF_OTHER_WEIGHTS = (
    "tag",
    "origin_url",
    "paper_name",
    "paper_ids",
    "notes",
    "description",
    "test_input_size",
    "test_crop_pct",
    "test_pool_size",
)

_USAGE = """
import timm
from PIL import Image

network = timm.create_model("local-dir:PATH", pretrained=True).eval()  # or "hf-hub:OWNER/NAME"
how = timm.data.resolve_model_data_config(network)
transform = timm.data.create_transform(**how, is_training=False)
logits = network(transform(Image.open("photo.jpg").convert("RGB")).unsqueeze(0))
"""


def write_folder(leader: Leader, path: Path) -> None:
    """Write the folder. timm itself writes the configuration."""
    from timm.models import save_for_hf

    card = leader.card
    if not (card.backbone.startswith(_PREFIX) and hasattr(leader.network, "pretrained_cfg")):
        raise ExportError(f"--format timm is for networks of timm, and this is a {card.backbone}: choose safetensors")
    if card.is_encoder:
        raise ExportError("--format timm is for classifiers, and this leader is an encoder: choose safetensors")
    arguments = dict(TimmName.parse(card.backbone.removeprefix(_PREFIX)).arguments)
    configuration = {"label_names": list(card.class_names), "pretrained_cfg": _preprocessing(card)}
    save_for_hf(leader.network, str(path), {**configuration, "model_args": arguments}, safe_serialization=True)
    (path / WEIGHTS).unlink()  # of a mode that the umask does not decide
    write_safetensors(leader, path / WEIGHTS)
    (path / MODEL_CARD).write_text(model_card(leader.facts, card), encoding="utf-8")


def _preprocessing(card: "LeaderCard") -> dict[str, Any]:
    size, resized = card.image_size, round(card.image_size / card.crop)
    # timm rounds size / crop down: this ratio gives the length that the leader was evaluated with.
    crop = card.crop if int(size / card.crop) == resized else size / (resized + 0.5)
    return {
        **dict.fromkeys(_OF_OTHER_WEIGHTS),
        "input_size": [card.channels, size, size],
        "mean": list(card.mean),
        "std": list(card.std),
        "crop_pct": crop,
        "crop_mode": "center",
        "interpolation": card.interpolation,
        "num_classes": len(card.class_names),
        "license": _LICENCE,
    }


def model_card(facts: Mapping[str, Any], card: "LeaderCard") -> str:
    """Return the text of a model card in the format of the Hugging Face Hub."""
    header = {
        "license": _LICENCE,
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "timm", "peerdistill"],
    }
    network = {
        "architecture": card.backbone.removeprefix(_PREFIX),
        "image size": card.image_size,
        "mean": list(card.mean),
        "std": list(card.std),
        "crop": card.crop,
        "interpolation": card.interpolation,
    }
    if card.temperature is not None:
        network["temperature"] = f"{card.temperature:.4f}: divide the logits by it to calibrate the probabilities"
    known = {"network": network, **facts, "classes": list(card.class_names)}
    lines = [f"- {name}: {_as_text(value)}" for name, value in known.items()]
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# Image classifier\n\n"
        "A network that learned together with others (its peers) in peerdistill.\n\n"
        f"## Details\n\n{chr(10).join(lines)}\n\n"
        f"## Licence\n\n`license: {_LICENCE}` above and in `{CONFIG}` is a placeholder: the licences of the training "
        "images and of pretrained weights decide.\n\n"
        f"## Use\n\n```python\n{_USAGE.strip()}\n```\n"
    )


def _as_text(value: Any) -> str:
    """Return a value, or a list or mapping of values, as one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_as_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_as_text(one) for one in value)
    return f"{value:.6g}" if isinstance(value, float) else as_markdown(str(value))


def open_folder(path: Path) -> "Opened":
    """Return the scorer and the card of a folder, also of one that timm or the Hugging Face Hub provided."""
    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.leader import read_safetensors

    if (path / WEIGHTS).is_file() and LeaderCard.is_in(read_safetensors(path / WEIGHTS)[0]):
        return open_safetensors(path / WEIGHTS)
    return _of_another_origin(path)


def _of_another_origin(path: Path) -> "Opened":
    """Open a folder by its configuration alone; classes without names are numbers."""
    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.normalised import Normalised
    from peerdistill.deploy.scorers import torch_scorer

    name = backbones.resolve(f"{_PREFIX}local-dir:{path}")
    found = backbones.pretrained_input(name)
    assert found is not None
    with reading(f"{path / CONFIG} does not describe a classifier"):
        configuration = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        count = int(configuration.get("num_classes") or configuration["pretrained_cfg"]["num_classes"])
        names = configuration.get("label_names") or range(count)
    architecture, channels = backbones.architecture(name), len(found.mean)
    statistics = (found.mean, found.std, min(1.0, found.crop))
    classes = tuple(map(str, names))
    card = LeaderCard(architecture, classes, found.image_size, channels, *statistics, interpolation=found.interpolation)
    backbone = backbones.build(name, classes=count, in_channels=channels, image_size=found.image_size)
    assert backbone.pretrained is not None
    return torch_scorer(Normalised(backbone.pretrained().eval(), card.mean, card.std)), card


def verify_folder(leader: Leader, path: Path) -> Check:
    """Check that peerdistill and timm load the leader, and that timm finds its preprocessing in the folder."""
    from peerdistill.deploy.verification import reproduces

    reproduces(leader, path, open_folder)
    return reproduces(leader, path, partial(_open_with_timm, card=leader.card))


def _open_with_timm(path: Path, card: "LeaderCard") -> "Opened":
    import timm
    from timm.data.config import resolve_model_data_config

    from peerdistill.deploy.normalised import Normalised
    from peerdistill.deploy.scorers import torch_scorer

    network = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    how = resolve_model_data_config(network)
    resized = int(card.image_size / how["crop_pct"])
    if (tuple(how["input_size"][1:]), resized) != ((card.image_size,) * 2, round(card.image_size / card.crop)):
        raise ExportError(f"timm finds another size in the folder: {how}")
    return torch_scorer(Normalised(network, how["mean"], how["std"], card.temperature)), card


FORMAT = Format(
    name="timm",
    help="folder for timm and the Hugging Face Hub",
    suffix="",
    stem="leader-timm",
    write=write_folder,
    open=open_folder,
    verify=verify_folder,
    stock=True,
    folder_with=CONFIG,
)

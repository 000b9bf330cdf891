"""Networks in the layout of the Hugging Face Hub: in a folder, and in the hub's cache on disk."""

import shutil
from pathlib import Path

import timm
import torch
from timm.models import save_for_hf
from torch import nn

# Of no other network.
PREPROCESSING = {"mean": (0.1, 0.4, 0.7), "std": (0.5, 0.3, 0.2), "crop_pct": 0.75, "interpolation": "bilinear"}


def write_network(folder: Path, name: str = "test_efficientnet", *, size: int = 48, **options) -> nn.Module:
    """Write a network of timm for seven classes with random weights as timm itself writes it, and return it."""
    torch.manual_seed(11)
    network = timm.create_model(name, num_classes=7, **options)
    given = {"input_size": (3, size, size), **PREPROCESSING}
    save_for_hf(network, str(folder), safe_serialization=True, model_config={"pretrained_cfg": given})
    return network


def write_cache(cache: Path, repository: str, folder: Path) -> None:
    """Lay the files of ``folder`` into a cache of huggingface_hub, as a download of ``repository`` does."""
    place = cache / f"models--{repository.replace('/', '--')}"
    revision = "0123456789abcdef0123456789abcdef01234567"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(revision)
    shutil.copytree(folder, place / "snapshots" / revision)

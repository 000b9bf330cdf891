"""Digits as uint8 tensors and as picture files, and small networks with BatchNorm statistics other than 0 and 1."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from peerdistill import backbones
from peerdistill.deploy import ExportReport, LeaderCard, export
from peerdistill.deploy.formats import FORMATS, Leader
from support.digits import FULL_RANGE, digit_images


@pytest.fixture(scope="session")
def digits() -> Tensor:
    """The first 70 digits, (70, 1, 8, 8) uint8: more than one batch of the verification."""
    images, _ = digit_images(samples=70, scale=FULL_RANGE)
    return torch.from_numpy(images).unsqueeze(1)


@pytest.fixture
def digit_files(digits: Tensor, tmp_path: Path) -> list[Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    files = [folder / f"{k}.png" for k in range(7)]
    for file, picture in zip(files, digits, strict=False):
        Image.fromarray(picture[0].numpy()).save(file)
    return files


@pytest.fixture(scope="session")
def card() -> LeaderCard:
    return LeaderCard("resnet8", tuple("0123456789"), 8, 1, (0.31,), (0.37,), 1.0)


def with_statistics(network: nn.Module, images: Tensor) -> nn.Module:
    """Update the BatchNorm statistics by a few batches in training mode."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval()


@pytest.fixture(scope="session")
def resnet(digits: Tensor) -> nn.Module:
    torch.manual_seed(1)
    network = backbones.build("resnet8", classes=10, in_channels=1).network()
    return with_statistics(network, digits[:32] / 255)


@pytest.fixture(scope="session")
def reports(
    resnet: nn.Module, card: LeaderCard, digits: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ExportReport]:
    """The same leader exported in every format, each in a folder of its own; read-only."""
    folders = {name: tmp_path_factory.mktemp(name) for name, format in FORMATS.items() if not format.is_folder}
    return {
        name: export(
            resnet, card, folder / FORMATS[name].default_name, format=name, pictures=digits, calibration=digits
        )
        for name, folder in folders.items()
    }


@pytest.fixture
def tiny(digits: Tensor) -> nn.Module:
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    return with_statistics(network, digits[:32] / 255)


@pytest.fixture(scope="session")
def write() -> Callable[[str, nn.Module, LeaderCard, Path], Path]:
    """Return a function that writes a leader in a format, without the verification of ``export``."""

    def written(format: str, network: nn.Module, card: LeaderCard, path: Path) -> Path:
        pictures = torch.zeros(2, card.channels, card.image_size, card.image_size, dtype=torch.uint8)
        FORMATS[format].write(Leader(network, card, pictures, outputs=torch.zeros(2, 1)), path)
        return path

    return written

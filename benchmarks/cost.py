"""Cost of a training by method, and of the paper's ImageNet setting, computed from shapes.

    python benchmarks/cost.py [--json FILE]

Nothing is timed, so other load on the machine does not change the figures.
"""

from measuring import MIB, give, header, parser
from peerdistill import methods
from peerdistill.config import Config
from peerdistill.study.cost import Cost, Sizes, cost

CIFAR = Sizes(50_000, 100, image_size=32)
IMAGENET = Sizes(1_281_167, 1000, image_size=224)
BATCH, IMAGENET_BATCH = 64, 128
NAMES = [name for name in methods.names() if not methods.find(name).needs_teacher]


def cost_of(sizes: Sizes, **options: object) -> Cost:
    return cost(Config.from_dict({"data": "cifar100", **options}), sizes, measure=False)


def row(name: str) -> dict[str, object]:
    """Return the cost of four peers with the sharing of a method."""
    found = cost_of(CIFAR, backbone="resnet32", method=name, batch_size=BATCH)
    counted, memory = found.multiply_adds, found.memory
    peers = counted.forward["peers"]
    return {
        "method": name,
        "copies": "-".join(map(str, found.copies)),
        "trained": found.parameters["cohort"] + found.parameters["method"],
        "peers_millions": peers / BATCH / 1e6,
        "method_millions": (sum(counted.forward.values()) - peers + counted.method_backward) / BATCH / 1e6,
        "ratio": found.ratio,
        "activations_mib": memory.activations / MIB,
        "buffers_mib": sum(memory.buffers.values()) / MIB,
    }


def paper() -> dict[str, float]:
    """Return the figures that section 4.1 of the paper states for ResNet-34 on ImageNet."""
    options = {"backbone": "resnet34", "method": "mcl-okd", "sharing": "network", "batch_size": IMAGENET_BATCH}
    found = cost_of(IMAGENET, **options)
    counted, bank = found.multiply_adds, found.memory.buffers["contrast"]
    scores = 12 * 16_384 * 128
    return {
        "networks_g": counted.forward["peers"] / IMAGENET_BATCH / 1e9,
        "scores_m": scores / 1e6,
        "scores_of_64_g": 64 * scores / 1e9,
        "contrast_m": counted.forward["contrast"] / IMAGENET_BATCH / 1e6,
        "contrast_percent": 100 * counted.forward["contrast"] / counted.total,
        "bank_mib": bank / 4 / MIB,
        "banks_gib": bank / 2**30,
        "activations_gib": found.memory.activations / 2**30,
    }


def main() -> None:
    options = parser("Computed cost of a training by method.").parse_args()
    about = header(
        sizes=f"resnet32, 4 peers, batch {BATCH}, 50,000 images of 32 x 32, 100 classes, 16,384 negatives",
        method="computed from shapes",
    )
    give({"header": about, "methods": sorted(map(row, NAMES), key=lambda row: row["ratio"]), "paper": paper()}, options)


if __name__ == "__main__":
    main()

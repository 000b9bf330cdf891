"""The angles of all triplets of a batch (RKD): tile by tile with their own gradient, beside the whole cube at once.

    python benchmarks/relations.py [--repeats 5] [--json FILE] [--write]

Needs only the package and PyTorch, takes a minute on two CPU cores, and runs on a GPU where there is one.
benchmarks/README.md says how to read what it prints.

Axes: B batch, D feature width.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from measuring import DEVICE, header, synchronise
from page import give_section, parser, section_text, table
from peerdistill.study.timing import median_seconds
from peerdistill.terms import angle_loss

WIDTH = 64
# The batch of the paper's CIFAR-100 experiments, twice as many, and an episode of Omniglot.
BATCHES = (64, 128, 360)


def plain_cosines(features_BD: Tensor) -> Tensor:
    """Cosines at sample j between those to i and to k, (B, B, B)."""
    unit_BBD = F.normalize(features_BD[None] - features_BD[:, None], dim=-1)
    return unit_BBD @ unit_BBD.mT


def plain_loss(features_BD: Tensor, teacher_BD: Tensor) -> Tensor:
    with torch.no_grad():
        target = plain_cosines(teacher_BD)
    return F.smooth_l1_loss(plain_cosines(features_BD), target)


def there_and_back(loss: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor) -> Tensor:
    """Gradient of the student's features, once it is there."""
    (gradient,) = torch.autograd.grad(loss(student, teacher), student)
    synchronise()
    return gradient


def compared(batch: int, repeats: int) -> dict[str, float]:
    draws = torch.Generator().manual_seed(0)
    student = torch.randn(batch, WIDTH, generator=draws).to(DEVICE).requires_grad_()
    teacher = torch.randn(batch, WIDTH, generator=draws).to(DEVICE)
    ways = {
        "tiles": partial(there_and_back, angle_loss, student, teacher),
        "plain": partial(there_and_back, plain_loss, student, teacher),
    }
    expected = there_and_back(plain_loss, student.detach().double().requires_grad_(), teacher.double())
    apart = (ways["tiles"]() - expected).norm() / expected.norm()
    took = median_seconds(ways, repeats)
    return {
        "batch": batch,
        "tiles_ms": 1e3 * took["tiles"],
        "plain_ms": 1e3 * took["plain"],
        "ratio": took["plain"] / took["tiles"],
        "gradient_apart": apart.item(),
    }


_INTRODUCTION = """
`python benchmarks/relations.py --write` measures and writes this part: the angle term of RKD-DA, forward and backward.
The plain formulation holds the cosines of all B x B x B triplets of student and teacher, their Huber losses and their
gradients; ours one tile of them, and computes the gradient with the loss.
"""


def text_of(report: dict) -> str:
    head = ["batch", "tiles, ms", "plain, ms", "times as fast", "gradient, relative to float64"]
    rows = [
        [
            str(row["batch"]),
            f"{row['tiles_ms']:.1f}",
            f"{row['plain_ms']:.1f}",
            f"{row['ratio']:.1f}",
            f"{row['gradient_apart']:.0e}",
        ]
        for row in report["angles"]
    ]
    return section_text(_INTRODUCTION, report, table(head, rows))


def main() -> None:
    options = parser("Time of the angles between all triplets of a batch.").parse_args()
    about = header(
        sizes=f"features of width {WIDTH} of student and teacher, float32",
        method=f"median of {options.repeats} alternating repeats after one untimed",
    )
    report = {"header": about, "angles": [compared(batch, options.repeats) for batch in BATCHES]}
    give_section("Angles of triplets", text_of(report), report, "relations", options)


if __name__ == "__main__":
    main()

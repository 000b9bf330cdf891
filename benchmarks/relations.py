"""The angles of all triplets of a batch (RKD): block by block with their gradient, beside all triplets at once.

    python benchmarks/relations.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch, takes a minute on two CPU cores, and uses a GPU if there is one.

Axes: B batch, D feature width.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from measuring import DEVICE, give, header, parser, synchronise
from peerdistill.study.timing import median_seconds
from peerdistill.terms import angle_loss

WIDTH = 64
# The batch size of the paper's CIFAR-100 experiments, twice that, and an episode of Omniglot.
BATCHES = (64, 128, 360)


def plain_cosines(features_BD: Tensor) -> Tensor:
    """Return the cosines of the angles at sample j between samples i and k, (B, B, B)."""
    unit_BBD = F.normalize(features_BD[None] - features_BD[:, None], dim=-1)
    return unit_BBD @ unit_BBD.mT


def plain_loss(features_BD: Tensor, teacher_BD: Tensor) -> Tensor:
    with torch.no_grad():
        target = plain_cosines(teacher_BD)
    return F.smooth_l1_loss(plain_cosines(features_BD), target)


def gradient_of(loss: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor) -> Tensor:
    """Return the gradient of the student's features after it was computed."""
    (gradient,) = torch.autograd.grad(loss(student, teacher), student)
    synchronise()
    return gradient


def compared(batch: int, repeats: int) -> dict[str, float]:
    draws = torch.Generator().manual_seed(0)
    student = torch.randn(batch, WIDTH, generator=draws).to(DEVICE).requires_grad_()
    teacher = torch.randn(batch, WIDTH, generator=draws).to(DEVICE)
    ways = {
        "tiles": partial(gradient_of, angle_loss, student, teacher),
        "plain": partial(gradient_of, plain_loss, student, teacher),
    }
    expected = gradient_of(plain_loss, student.detach().double().requires_grad_(), teacher.double())
    apart = (ways["tiles"]() - expected).norm() / expected.norm()
    took = median_seconds(ways, repeats)
    return {
        "batch": batch,
        "tiles_ms": 1e3 * took["tiles"],
        "plain_ms": 1e3 * took["plain"],
        "ratio": took["plain"] / took["tiles"],
        "gradient_apart": apart.item(),
    }


def main() -> None:
    options = parser("Time of the angles between all triplets of a batch.").parse_args()
    about = header(
        sizes=f"features of width {WIDTH} of student and teacher, float32",
        method=f"median of {options.repeats} alternating repeats after one untimed",
    )
    report = {"header": about, "angles": [compared(batch, options.repeats) for batch in BATCHES]}
    give(report, options)


if __name__ == "__main__":
    main()

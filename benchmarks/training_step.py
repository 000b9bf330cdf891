"""A training step at the size of the paper's CIFAR-100 experiments, with noise as images."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from measuring import DEVICE, synchronise
from peerdistill import Cohort, methods, terms
from peerdistill.training.config import OptimizerConfig, Precision
from peerdistill.training.memory_format import choose_memory_format
from peerdistill.training.optimizers import make_optimizer

BACKBONE, PEERS, BATCH, CLASSES, SAMPLES, IMAGE_SIZE = "resnet32", 4, 64, 100, 50_000, 32
AFTER_RAMPS = 1000


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    indices: Tensor


def update(total: Tensor, cohort: nn.Module, method: terms.Method, optimizer: torch.optim.Optimizer) -> None:
    """Do what the trainer does with a loss: backward pass, update of the weights, update of the method's memory."""
    total.backward()
    optimizer.step()
    method.after_step(cohort)
    optimizer.zero_grad(set_to_none=True)
    synchronise()


def train_labels() -> Tensor:
    return torch.arange(SAMPLES) % CLASSES


def draw_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    indices = torch.randperm(SAMPLES, generator=generator)[:BATCH]
    images = torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    return Batch(images.to(DEVICE), train_labels()[indices].to(DEVICE), indices.to(DEVICE))


class Step:
    """Forward pass, loss, backward pass and update, as in the trainer, with weight ramps at their end.

    Args:
        name: Name of the method.
        batch: The training batch.
        cohort: Options of the cohort that the method does not decide.
        precision: As in ``peerdistill.training.TrainingConfig``.
        options: Options of the method.
    """

    def __init__(
        self,
        name: str,
        batch: Batch,
        cohort: dict[str, Any] | None = None,
        *,
        precision: Precision = "32-true",
        **options: Any,
    ):
        torch.manual_seed(0)
        self.batch = batch
        self.autocast = precision == "bf16-mixed"
        card = methods.find(name)
        sizes = {"peers": PEERS, "sharing": "branch", **(cohort or {}), **card.cohort}
        self.cohort = Cohort(BACKBONE, CLASSES, **sizes).to(DEVICE)
        if card.needs_teacher:
            options["teacher"] = terms.Teacher(Cohort(BACKBONE, CLASSES, peers=1, sharing="network"))
        self.method = methods.build(name, self.cohort, train_labels=train_labels(), **options).to(DEVICE)
        self.method.start_epoch(AFTER_RAMPS)
        layout = choose_memory_format("auto", self.cohort, DEVICE, precision)
        for module in filter(None, (self.cohort, self.method.teacher)):
            module.to(memory_format=layout)
        parameters = [*self.cohort.parameters(), *self.method.parameters()]
        self.optimizer = make_optimizer([{"params": parameters}], OptimizerConfig(), lr=0.01)

    def __call__(self) -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.autocast):
            out = self.cohort(self.batch.images)
        out = out._replace(logits=out.logits.float(), features=out.features.float())
        total = self.method(out, self.batch.labels, self.batch.indices).total
        update(total, self.cohort, self.method, self.optimizer)

"""Trainings that benchmarks/gpu.py measures, on noise as images."""

import gc
from typing import Any, NamedTuple

import torch
from lightning_fabric import seed_everything
from torch import Tensor

from measuring import DEVICE, synchronise
from peerdistill import Cohort, methods, terms
from peerdistill.contrast import ContrastOptions
from peerdistill.contrast.options import Negatives
from peerdistill.data.batches import Batch
from peerdistill.shares import WHOLE, Share
from peerdistill.training import TrainingConfig
from peerdistill.training.learner import Learner
from peerdistill.training.parallel import fabric_for
from training_step import AFTER_RAMPS

ON_GPU = DEVICE.type == "cuda"


class Size(NamedTuple):
    """Sizes of a training."""

    name: str
    backbone: str
    classes: int
    samples: int
    batch: int
    image_size: int = 32


class Peers(NamedTuple):
    """A method and its number of peers."""

    method: str
    peers: int
    negatives: Negatives = "own"

    def __str__(self) -> str:
        if self.peers == 1:
            return "single network"
        return f"{self.method}, {self.peers} branches{', shared' if self.negatives == 'shared' else ''}"

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method."""
        return {"contrast": ContrastOptions(negatives=self.negatives)} if self.method == "mcl-okd" else {}


SINGLE, TWO, FOUR = Peers("baseline", 1), Peers("mcl-okd", 2), Peers("mcl-okd", 4)
SHARED = Peers("mcl-okd", 4, "shared")


class Way(NamedTuple):
    """A way to run a step: options of the training, and whether the networks are compiled."""

    options: dict[str, Any]
    compiled: bool = False


EAGER, BEST = "eager", "graphs, bf16, channels_last"
_PLAIN = {"memory_format": "contiguous", "cuda_graphs": "off"}
_BF16 = {"precision": "bf16-mixed"}
_LAST = {"memory_format": "channels_last"}
_GRAPHS = {"cuda_graphs": "auto"}
WAYS = {
    EAGER: Way(_PLAIN),
    "channels_last": Way(_PLAIN | _LAST),
    "bf16": Way(_PLAIN | _BF16),
    "bf16, channels_last": Way(_PLAIN | _BF16 | _LAST),
    "graphs": Way(_PLAIN | _GRAPHS),
    "graphs, channels_last": Way(_PLAIN | _LAST | _GRAPHS),
    BEST: Way(_PLAIN | _BF16 | _LAST | _GRAPHS),
    "compiled": Way(_PLAIN, compiled=True),
    "graphs, compiled": Way(_PLAIN | _GRAPHS, compiled=True),
}


class Training:
    """Steps of a training on batches of noise."""

    def __init__(self, size: Size, peers: Peers, way: str = EAGER):
        seed_everything(0, verbose=False)
        self.config = config = TrainingConfig(batch_size=size.batch, **WAYS[way].options)
        fabric = fabric_for("auto", config.precision)
        fabric.launch()
        share = Share(fabric.global_rank, fabric.world_size)
        with DEVICE:  # the bank of ImageNet is drawn where it stays
            labels = torch.arange(size.samples) % size.classes
            sharing = "network" if peers.peers == 1 else "branch"
            self.cohort = Cohort(size.backbone, size.classes, peers.peers, sharing, image_size=size.image_size)
            self.method = methods.build(peers.method, self.cohort, train_labels=labels, **peers.options)
            self.batches = [noise(size, labels, share) for _ in range(2)]
        self.method.start_epoch(AFTER_RAMPS)
        if WAYS[way].compiled:
            _compile(self.cohort)
        self.learner = Learner(self.cohort, self.method, config=config, fabric=fabric, steps=10**6)
        self.optimizer_steps = 0
        self.size = size

    def step(self, batch: Batch | None = None) -> terms.Loss:
        self.optimizer_steps += 1
        batch = batch or self.batches[self.optimizer_steps % len(self.batches)]
        return self.learner.step([batch], self.optimizer_steps)

    def steps(self, number: int) -> None:
        """Take steps, and wait for the device after the last one."""
        for _ in range(number):
            self.step()
        synchronise()


def noise(size: Size, labels: Tensor, share: Share = WHOLE) -> Batch:
    indices = torch.randperm(size.samples)[: size.batch]
    images = torch.randn(size.batch, 3, size.image_size, size.image_size)
    return Batch(images[share.of(size.batch)], labels[indices], indices)


def _compile(cohort: Cohort) -> None:
    """Compile each stage: the cohort as a whole can't be compiled."""
    torch._dynamo.reset()
    for network in cohort.networks:
        for stage in cohort.backbone.stages:
            for module in stage.modules:
                network.get_submodule(module).compile(dynamic=False)


def start_of_memory() -> int:
    """Free what was measured before, return the bytes in use, and count the peak from now on."""
    gc.collect()
    if not ON_GPU:
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()

"""A training step on a GPU that is not there: PyTorch's fake tensors know shapes and devices, and have no data.

They refuse tensors of two devices in one operation, and reads of values, for which a real GPU would finish all queued
work first. Copies between host and GPU are recorded. The backward pass is not run: autograd needs a real GPU for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from packaging.version import Version
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from peerdistill import Cohort, methods, terms
from peerdistill.contrast import ContrastOptions
from peerdistill.training.config import OptimizerConfig
from peerdistill.training.ema import LeaderEMA
from peerdistill.training.optimizers import make_optimizer, parameter_groups

BATCH, SAMPLES, CLASSES = 8, 200, 10
PLAIN = "support.plain_network:network"
READS_A_VALUE = (DataDependentOutputException, DynamicOutputShapeException)

# PyTorch 2.9 ends the process in a convolution; 2.14 does not, and the versions between were not tried.
NEEDS_DRIVER = not torch.cuda.is_available() and Version(torch.__version__) < Version("2.14")

pytestmark = [
    pytest.mark.filterwarnings("ignore::peerdistill.errors.PeerdistillWarning"),
    pytest.mark.skipif(NEEDS_DRIVER, reason="this PyTorch needs a driver for convolutions of fake tensors"),
]


class Copies(TorchDispatchMode):
    """Records operations that copy between host and GPU and let the host wait."""

    def __init__(self):
        super().__init__()
        self.waiting: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        devices = {one.device.type for one in tree_leaves((args, kwargs, out)) if _is_copied(one, func)}
        if len(devices) > 1 and not (kwargs or {}).get("non_blocking"):
            self.waiting.append(func.overloadpacket.__name__)
        return out


def _is_copied(one: Any, func: Any) -> bool:
    """Tell whether an operation copies a tensor to another device: a number of the host can be passed to a kernel."""
    is_copy = func.overloadpacket.__name__ in ("_to_copy", "copy_")
    return isinstance(one, Tensor) and (one.ndim > 0 or is_copy)


@contextmanager
def waits() -> Iterator[list[str]]:
    """Collect the operations that wait for the GPU. The first that reads a value ends the ``with`` statement."""
    found: list[str] = []
    copies = Copies()
    try:
        with copies:
            yield found
    except READS_A_VALUE as error:
        found.append(error.func.overloadpacket.__name__)
    finally:
        found[:0] = copies.waiting


class FakeGpu:
    """Modules and batches on a GPU without data."""

    def __init__(self) -> None:
        self.mode = FakeTensorMode()

    def moved(self, *modules: nn.Module) -> None:
        """Move what ``Module.to`` moves: parameters and buffers, but no other tensors."""
        moved: dict[int, Tensor] = {}
        for part in (part for module in modules for part in module.modules()):
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = moved.setdefault(id(tensor), self._like(tensor))

    def _like(self, tensor: Tensor) -> Tensor:
        with self.mode:
            empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")
            return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        with self.mode:
            images = torch.empty(BATCH, 3, 8, 8, device="cuda")
            return images, *torch.empty(2, BATCH, dtype=torch.long, device="cuda").unbind()


def built(
    name: str, *, teacher: bool = False, backbone: str = PLAIN, cohort: dict | None = None, **options
) -> tuple[Cohort, terms.Method]:
    """Return peers and a method on the CPU. CRD has seen its first batch there, in which it computes Z."""
    card = methods.find(name)
    peers = Cohort(backbone, CLASSES, **{"peers": 3, "sharing": card.sharings[0], **card.cohort, **(cohort or {})})
    if card.needs_teacher or teacher:
        options["teacher"] = terms.Teacher(Cohort(backbone, CLASSES, 1, "network"))
    labels = torch.arange(SAMPLES) % CLASSES
    method = methods.build(name, peers, train_labels=labels, **options)
    method.start_epoch(1000)
    if name.startswith("crd"):
        rows = torch.arange(BATCH)
        method(peers(torch.randn(BATCH, 3, 8, 8)), labels[rows], rows)
    return peers, method


def waits_of_step(name: str, *, mixed: int = 0, **options) -> list[str]:
    """Return the operations of a step that wait for the GPU: forward pass, loss, and updates after the optimizer."""
    cohort, method = built(name, **options)
    gpu = FakeGpu()
    gpu.moved(*filter(None, (cohort, method, method.teacher)))
    images, labels, indices = gpu.batch()
    with gpu.mode, waits() as found:
        targets = torch.full((mixed, CLASSES), 0.1, device="cuda") if mixed else None
        loss = method(cohort(images), labels, indices, targets)
        method.after_step(cohort)
        assert {part.device.type for part in (loss.total, *loss.parts.values())} == {"cuda"}
    return found


@pytest.mark.parametrize("name", methods.names())
def test_a_step_of_every_method_stays_on_the_gpu(name):
    assert waits_of_step(name, backbone="resnet8") == []


CONTRASTS = {
    "shared": {"negatives": "shared", "count": 32},
    "all": {"negatives": "all"},
    "queue": {"negatives": "queue", "count": 32},
    "gathered": {"count": 4},
    "core": {"views": "core"},
    "softmax": {"objective": "softmax"},
    "Z of the batch": {"normaliser": "batch"},
    "bfloat16": {"bank_dtype": "bfloat16"},
    "float64": {"temperature": 0.01},
    "shared, without replacement": {"negatives": "shared", "count": 32, "replacement": False},
}


@pytest.mark.parametrize("options", CONTRASTS.values(), ids=CONTRASTS)
def test_the_contrast_stays_on_the_gpu(options):
    assert waits_of_step("mcl-okd", contrast=ContrastOptions(**options)) == []


def test_drawing_per_anchor_without_replacement_reads_the_numbers_of_candidates():
    waiting = waits_of_step("mcl-okd", contrast=ContrastOptions(count=8, replacement=False))
    assert waiting == ["_local_scalar_dense"]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"mixed": 4, "label_smoothing": 0.1, "class_weights": [1.0] * 9 + [2.0]}, id="mixed images"),
        pytest.param({"teacher": True}, id="teacher"),
        pytest.param({"cohort": {"sharing": "network", "peer_backbones": ["resnet8", PLAIN]}}, id="two backbones"),
        pytest.param({"cohort": {"freeze_until": "stem"}}, id="frozen stages"),
    ],
)
def test_options_of_a_step_stay_on_the_gpu(options):
    assert waits_of_step("mcl-okd", **options) == []


@pytest.mark.parametrize("name", ["adamw", "lamb"])  # PyTorch's fused SGD does not accept fake tensors
def test_an_update_of_the_weights_stays_on_the_gpu(name):
    cohort, method = built("pcl")
    average = LeaderEMA(cohort, 0.9)
    gpu = FakeGpu()
    gpu.moved(cohort, method, average.network)
    config = OptimizerConfig(name)
    with gpu.mode, waits() as found:
        optimizer = make_optimizer(parameter_groups(cohort, method.parameters(), config), config, lr=0.1, fused=True)
        for number in (1, 2):
            for parameter in (*cohort.parameters(), *method.parameters()):
                parameter.grad = torch.empty_like(parameter)
            nn.utils.clip_grad_norm_(cohort.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update(number)
    assert found == []


MISTAKES = {
    "item": (lambda x: x.sum().item(), ["_local_scalar_dense"]),
    "condition": (lambda x: bool((x > 0).any()), ["_local_scalar_dense"]),
    "mask": (lambda x: x[x > 0], ["nonzero"]),
    "list of rows": (lambda x: x[[0, 1]], ["_to_copy"]),
    "to the host": (lambda x: x.cpu(), ["_to_copy"]),
    "constant": (lambda x: x * torch.tensor([1.0, 2.0, 3.0, 4.0]).to(x.device), ["_to_copy"]),
    "copied into": (lambda x: x.copy_(torch.zeros(4)), ["copy_"]),
}


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_waiting_is_noticed(mistake, expected):
    with FakeTensorMode(), waits() as found:
        mistake(torch.empty(4, device="cuda"))
    assert found == expected


def test_tensors_of_two_devices_are_noticed():
    class Forgotten(nn.Linear):
        def __init__(self):
            super().__init__(4, 4)
            self.scale = torch.ones(4)  # not a buffer

        def forward(self, x):
            return super().forward(x) * self.scale

    module, gpu = Forgotten(), FakeGpu()
    gpu.moved(module)
    with gpu.mode, pytest.raises((AssertionError, RuntimeError)):
        module(torch.empty(2, 4, device="cuda"))

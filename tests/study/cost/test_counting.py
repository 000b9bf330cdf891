import math
import re

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from peerdistill import Cohort, methods
from peerdistill.contrast import ContrastOptions, TeacherContrastOptions
from peerdistill.study.cost import multiply_adds, saved_bytes
from peerdistill.terms import Teacher


class Oracle(TorchDispatchMode):
    """Adds up multiply-adds by the shapes of the operations, and fails for products that it does not know."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip("_")
        if name in ("mm", "bmm"):
            self.total += args[0].numel() * args[1].shape[-1]
        elif name in ("addmm", "baddbmm"):
            self.total += args[1].numel() * args[2].shape[-1]
        elif name == "convolution":
            self.total += out.numel() * args[1][0].numel()
        elif name == "convolution_backward":
            self.total += args[0].numel() * args[2][0].numel() * sum(args[-1][:2])
        elif re.search("mm|conv|linear|mv|einsum|attention|matmul", name):
            raise AssertionError(f"{name} is not counted")
        return out


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("needs_input_gradient", [False, True])
def test_convolutions_of_both_passes(groups, transposed, needs_input_gradient):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(4, 8, kernel_size=3, stride=2, groups=groups, device="meta")
    x = torch.empty(5, 4, 9, 9, device="meta", requires_grad=needs_input_gradient)
    with multiply_adds() as forward:
        y = layer(x)
    with multiply_adds() as backward:
        y.sum().backward()
    positions = math.prod((x if transposed else y).shape[2:])
    expected = 5 * positions * 3 * 3 * 4 * 8 // groups
    assert forward.total == expected
    assert backward.total == expected * (1 + needs_input_gradient)


def test_products_that_write_into_an_argument_count():
    a, b, c = torch.ones(2, 3, 4), torch.ones(2, 4, 5), torch.ones(2, 3, 5)
    with multiply_adds() as batched:
        c.baddbmm_(a, b)
    with multiply_adds() as single:
        c[0].addmm_(a[0], b[0])
    with multiply_adds() as given:
        torch.matmul(a, b, out=c)
    assert (batched.total, single.total, given.total) == (120, 60, 120)


def test_calls_of_modules_are_counted_each():
    first, second = nn.Linear(3, 4), nn.Linear(4, 5)
    with multiply_adds({"first": first, "second": second, "never": nn.Linear(1, 1)}) as found:
        second(first(torch.ones(2, 3)))
        first(torch.ones(7, 3))
    assert found.calls == {"first": (2 + 7) * 3 * 4, "second": 2 * 4 * 5}
    assert found.total == sum(found.calls.values())


def test_saved_tensors_count_once_and_parameters_not_at_all():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5))
    with saved_bytes(network) as saved:
        network(torch.ones(2, 3))
    # The images, and the output of the ReLU, which its own gradient and that of the next weights need.
    assert sum(saved.values()) == 4 * (2 * 3 + 2 * 4)


def test_buffers_of_a_module_are_not_saved_tensors():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with saved_bytes(network) as saved:
        network(torch.ones(2, 3))
    # The images, the input of the normalisation, and its mean and deviation of each channel.
    assert sum(saved.values()) == 4 * (2 * 3 + 2 * 4 + 2 * 4)


SMALL = {"mcl-okd": {"contrast": ContrastOptions(count=16)}, "kdcl": {"target": "linear"}}
SMALL |= {name: {"contrast": TeacherContrastOptions(count=16)} for name in ("crd", "crd+kd")}


@pytest.mark.parametrize("name", methods.names())
def test_every_product_of_every_method_is_counted(name):
    card = methods.find(name)
    torch.manual_seed(0)
    labels = torch.arange(60) % 6
    cohort = Cohort("resnet8", 6, **{"peers": 3, **card.cohort, "sharing": card.sharings[0]}, image_size=8)
    teacher = Teacher(Cohort("resnet8", 6, peers=1, image_size=8)) if card.needs_teacher else None
    method = methods.build(name, cohort, train_labels=labels, teacher=teacher, **SMALL.get(name, {}))
    method.batches_per_step = 3
    method.start_epoch(0)
    images, rows = torch.rand(12, 3, 8, 8), torch.arange(12)

    def step():
        method(cohort(images), labels[rows], rows).total.backward()

    step()  # CRD finds its constants in the first one
    with Oracle() as oracle:
        step()
    with multiply_adds() as found:
        step()
    assert found.total == oracle.total > 0

import pytest
import torch
from torch import nn

from peerdistill.errors import UserError
from peerdistill.runs.build import check_batch_norm, check_synchronisable

NORMED = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


@pytest.mark.parametrize(
    ("devices", "synchronised", "least"), [(1, False, 2), (2, False, 4), (4, False, 8), (4, True, 4), (1, True, 2)]
)
def test_each_device_needs_two_images_unless_statistics_are_synchronised(devices, synchronised, least):
    check_batch_norm(least, NORMED, devices=devices, synchronised=synchronised)
    with pytest.raises(UserError, match=rf"^batch_size must be at least {least} .*\(1\).* found {least - 1}$"):
        check_batch_norm(least - 1, NORMED, devices=devices, synchronised=synchronised)


@pytest.mark.parametrize("module", [nn.Linear(2, 2), nn.BatchNorm1d(2).eval()])
def test_other_networks_may_get_fewer_images(module):
    check_batch_norm(1, module, devices=4)


def test_batch_norm_is_synchronised_on_gpus_only():
    check_synchronisable(torch.device("cuda"))
    with pytest.raises(UserError, match=r"^sync_batchnorm needs CUDA devices, found cpu: "):
        check_synchronisable(torch.device("cpu"))

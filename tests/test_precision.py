import pytest
import torch

from peerdistill.precision import at_least_single, in_single_at_least


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_single_precision_at_least(given, kept):
    x = torch.tensor([0.5, -2.0], dtype=given)
    assert at_least_single(given) == kept
    assert torch.equal(in_single_at_least(x), torch.tensor([0.5, -2.0], dtype=kept))


def test_what_is_precise_enough_is_not_copied():
    x = torch.tensor([0.5, -2.0])
    assert in_single_at_least(x) is x

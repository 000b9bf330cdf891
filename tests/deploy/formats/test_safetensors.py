"""safetensors files as other tools read them, and damaged files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from peerdistill.deploy import LeaderCard, predict
from peerdistill.errors import UserError


def test_safetensors_holds_the_state_dict_unchanged(tiny: nn.Module, card: LeaderCard, tmp_path: Path, write):
    write("safetensors", tiny, card, tmp_path / "leader.safetensors")
    with safe_open(tmp_path / "leader.safetensors", framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = tiny.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    "content",
    [
        (2**40).to_bytes(8, "little") + b"{}",
        (8).to_bytes(8, "little") + b'{"a": 1}',
        (2).to_bytes(8, "little") + b"{}",
        (64).to_bytes(8, "little") + json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}).encode(),
        b"\x00" * 7,
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
    ],
)
def test_safetensors_with_a_broken_header_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(
        UserError, match=r"m.safetensors (is not a safetensors file|was not exported by peerdistill)"
    ) as error:
        predict(tmp_path / "m.safetensors", [])
    assert "\n" not in str(error.value)

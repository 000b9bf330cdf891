import contextlib
import copy
import dataclasses
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from peerdistill import deploy
from peerdistill.deploy import ExportError, ExportReport, LeaderCard, export, load_leader
from peerdistill.deploy.formats import FORMATS, Leader, open_scorer
from peerdistill.errors import UserError
from peerdistill.files import WriteError
from support.killed import leave_scratch_folder

FILES = [name for name, format in FORMATS.items() if not format.is_folder]
EXACT = [name for name, format in FORMATS.items() if not (format.needs_calibration or format.is_folder)]


class OtherwiseInExport(nn.Module):
    """Behaves differently while it is traced, so that the graph is valid and wrong."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(images)
        return logits.flip(1) if torch.compiler.is_exporting() else logits


class DataDependent(OtherwiseInExport):
    """Has a Python branch that depends on the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images) if images.mean() > 0 else self.network(-images)


class FixedBatch(OtherwiseInExport):
    """Works for two images only."""

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.reshape(2, 1, 8, 8))


@pytest.mark.parametrize("format", FILES)
def test_the_report_describes_the_file(reports: dict[str, ExportReport], format):
    report = reports[format]
    assert (report.format, report.samples) == (format, 70)
    assert report.agreement == 1.0 or format == "int8"
    assert report.bytes == report.path.stat().st_size
    assert list(report.path.parent.iterdir()) == [report.path]


@pytest.mark.parametrize("format", EXACT)
def test_file_reproduces_the_leader_at_every_batch_size(
    reports: dict[str, ExportReport], resnet: nn.Module, card: LeaderCard, digits: Tensor, format
):
    score, card_read = open_scorer(reports[format].path, trust=True)
    assert card_read == card
    images = digits.float() / 255
    with torch.no_grad():
        expected = resnet((images - 0.31) / 0.37)
    for size in (1, 2, 5, 70):
        found = torch.from_numpy(score(images[:size].numpy()))
        torch.testing.assert_close(found, expected[:size], rtol=1e-3, atol=1e-3)
        assert (found - expected[:size]).abs().max() <= reports[format].largest_difference + 1e-4


def test_export_does_not_change_the_leader(tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path):
    tiny.train().double()
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    export(tiny, card, tmp_path / "leader.onnx", format="onnx", pictures=digits)
    assert tiny.training
    assert all(
        tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])
        for name, tensor in tiny.state_dict().items()
    )


def test_existing_file_is_replaced_only_with_force(resnet: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path):
    output = tmp_path / "leader.safetensors"
    output.write_text("precious")
    with pytest.raises(UserError, match=r"leader.safetensors exists: .* --force"):
        export(resnet, card, output, format="safetensors", pictures=digits)
    assert output.read_text() == "precious"
    export(resnet, card, output, format="safetensors", pictures=digits, force=True)
    assert open_scorer(output)[1] == card


def test_the_draft_of_a_killed_export_is_removed_by_the_next_one(
    resnet: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path
):
    leave_scratch_folder(tmp_path)
    output = tmp_path / "leader.safetensors"
    export(resnet, card, output, format="safetensors", pictures=digits)
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("format", ["onnx", "pt2"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (OtherwiseInExport, r"does not reproduce the leader: .* same class on \d+\.\d\d% of 70 pictures"),
        (DataDependent, "cannot be traced with a free batch size"),
        (FixedBatch, "the leader cannot score pictures: shape .* is invalid for input of size 64"),
    ],
)
def test_a_failed_export_keeps_the_existing_file(
    tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path, format, spoil, message: str
):
    output = tmp_path / f"leader.{format}"
    with pytest.raises(ExportError, match=message):
        export(spoil(tiny), card, output, format=format, pictures=digits)
    assert not list(tmp_path.iterdir())
    output.write_text("precious")
    with pytest.raises(ExportError, match=message):
        export(spoil(tiny), card, output, format=format, pictures=digits, force=True)
    assert output.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [output]


def test_a_leader_with_hooks_cannot_be_exported_as_weights(
    resnet: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path
):
    resnet = copy.deepcopy(resnet)
    # A hook is not part of the state_dict.
    resnet.get_submodule("fc").register_forward_pre_hook(lambda module, inputs: (inputs[0] * 1.1,))
    with pytest.raises(ExportError, match="does not reproduce the leader"):
        export(resnet, card, tmp_path / "leader.safetensors", format="safetensors", pictures=digits)
    assert not list(tmp_path.iterdir())


def test_weights_must_fit_the_backbone_of_the_card(tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path):
    with pytest.raises(ExportError, match=r"safetensors file does not run: .* not hold weights of resnet8"):
        export(tiny, card, tmp_path / "leader.safetensors", format="safetensors", pictures=digits)
    assert not list(tmp_path.iterdir())


def test_file_with_another_card_is_refused(tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path):
    def forgetful(leader: Leader, path: Path) -> None:
        FORMATS["pt2"].write(dataclasses.replace(leader, card=dataclasses.replace(leader.card, crop=0.5)), path)

    with pytest.raises(ExportError, match=r"file has another card: .*crop=0.5"):
        export(
            tiny,
            card,
            tmp_path / "leader.pt2",
            format=dataclasses.replace(FORMATS["pt2"], write=forgetful),
            pictures=digits,
        )
    assert not list(tmp_path.iterdir())


def test_the_card_must_have_a_class_for_each_logit(tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path):
    short = dataclasses.replace(card, class_names=("zero", "one"))
    with pytest.raises(ExportError, match="the leader gives 10 logits and its card names 2 classes"):
        export(tiny, short, tmp_path / "leader.pt2", format="pt2", pictures=digits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value"), [("5.bias", float("nan")), ("5.bias", float("-inf")), ("1.running_var", float("nan"))]
)
def test_leader_with_values_that_are_not_finite_is_refused(
    tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path, name: str, value: float
):
    tiny.state_dict()[name][3] = value
    with pytest.raises(ExportError, match=f"the leader cannot be exported: '{name}' has values that are not finite"):
        export(tiny, card, tmp_path / "leader.pt2", format="pt2", pictures=digits)
    assert not list(tmp_path.iterdir())


def test_leader_whose_logits_overflow_is_refused(tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path):
    tiny.state_dict()["5.bias"][3] = 3e38
    network = nn.Sequential(tiny, nn.Linear(10, 10))
    network[1].weight.data.fill_(2)
    with pytest.raises(ExportError, match="the leader gives logits that are not finite for 1 of 1 pictures"):
        export(network, card, tmp_path / "leader.onnx", format="onnx", pictures=digits)
    assert not list(tmp_path.iterdir())


def test_a_network_of_own_code_is_exported_and_loaded_as_safetensors(
    tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path
):
    own = dataclasses.replace(card, backbone="mynets:tiny")
    report = export(tiny, own, tmp_path / "leader.safetensors", format="safetensors", pictures=digits)
    assert report.largest_difference == 0
    fresh = copy.deepcopy(tiny)
    for parameter in fresh.parameters():
        nn.init.normal_(parameter)
    leader, card_read = load_leader(report.path, fresh)
    assert card_read == own
    assert torch.equal(leader(digits / 255), tiny((digits / 255 - 0.31) / 0.37))
    with pytest.raises(UserError, match="a network of your own code, mynets:tiny: build it in Python"):
        open_scorer(report.path)


def test_a_file_that_lacks_weights_of_a_network_of_own_code_is_refused(
    tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path
):
    def forgetful(leader: Leader, path: Path) -> None:
        FORMATS["safetensors"].write(dataclasses.replace(leader, network=leader.network[:5]), path)

    format = dataclasses.replace(FORMATS["safetensors"], write=forgetful)
    own = dataclasses.replace(card, backbone="mynets:tiny")
    with pytest.raises(ExportError, match=r"not hold weights of mynets:tiny: '5.bias' is absent"):
        export(tiny, own, tmp_path / "leader.safetensors", format=format, pictures=digits)
    assert not list(tmp_path.iterdir())


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("format", FILES)
def test_full_disk_leaves_the_existing_file(
    resnet: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path, format
):
    output = tmp_path / FORMATS[format].default_name
    output.write_text("precious")
    with largest_file(100_000), pytest.raises(WriteError, match=rf"{output.name} .*: file too large"):
        export(resnet, card, output, format=format, pictures=digits, calibration=digits, force=True)
    assert output.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("leader.onnx", "onyx", r"unknown export format 'onyx': did you mean onnx\?"),
        ("leader.pt2", "onnx", r"leader.pt2 must end in .onnx"),
        ("absent/leader.onnx", "onnx", r"the folder .*absent does not exist"),
        ("file/leader.onnx", "onnx", r"the folder .*file is not a folder"),
        ("pipe.onnx", "onnx", r"pipe.onnx is not a regular file"),
        ("n" * 300 + ".onnx", "onnx", r"n.onnx cannot be written: file name too long"),
        ("-", "onnx", r"- must end in .onnx"),
        ("folder.onnx", "onnx", r"folder.onnx is a folder"),
    ],
)
def test_invalid_requests_are_refused(
    tiny: nn.Module, card: LeaderCard, digits: Tensor, tmp_path: Path, name: str, format, message: str
):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.onnx")
    # Without the type checks of the tests.
    unchecked = getattr(export, "__wrapped__", export)
    with pytest.raises(UserError, match=message):
        unchecked(tiny, card, tmp_path / name, format=format, pictures=digits, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.onnx", "pipe.onnx"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 1, 8, 8), "at least 2 pictures, found 1"), ((4, 1, 9, 8), r"\(1, 8, 8\), found \(1, 9, 8\)")],
)
def test_pictures_must_have_the_size_of_the_card(
    tiny: nn.Module, card: LeaderCard, tmp_path: Path, shape: tuple, message: str
):
    with pytest.raises(UserError, match=message):
        export(
            tiny,
            card,
            tmp_path / "leader.onnx",
            format="onnx",
            pictures=torch.zeros(shape, dtype=torch.uint8),
        )


def test_public_names_are_not_modules_of_the_same_name():
    modules = [name for name in deploy.__all__ if isinstance(getattr(deploy, name), ModuleType)]
    assert modules == ["formats"]

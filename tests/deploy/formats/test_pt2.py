"""pt2 files that are foreign, damaged or do not match their card."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from peerdistill.deploy import LeaderCard, predict
from peerdistill.errors import UserError


class Marker:
    """An object that writes a file when it is unpickled."""

    def __init__(self, file: Path):
        self._file = file

    def __reduce__(self):
        return (Path.touch, (self._file,))


def test_a_program_is_refused_unless_it_is_trusted(tmp_path: Path, card: LeaderCard):
    """PyTorch 2.14 unpickles the sample inputs in the file, which runs the code that they name."""
    file, mark, sample_inputs = tmp_path / "m.pt2", tmp_path / "mark", BytesIO()
    torch.save(Marker(mark), sample_inputs)
    program = torch.export.export(nn.Flatten(), (torch.zeros(2, 1, 8, 8),))
    torch.export.save(program, tmp_path / "harmless.pt2", extra_files=card.to_metadata())
    with zipfile.ZipFile(tmp_path / "harmless.pt2") as harmless, zipfile.ZipFile(file, "w") as archive:
        for part in harmless.infolist():
            is_loaded = "sample_inputs" in part.filename
            archive.writestr(part.filename, sample_inputs.getvalue() if is_loaded else harmless.read(part))
    for how in ({}, {"format": "pt2"}):
        with pytest.raises(UserError, match=r"m.pt2 is a program, which can do anything .* --trust .* trust=True"):
            predict(file, [pixel_file(tmp_path)], **how)
    assert not mark.exists()


def test_foreign_pt2_is_refused_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = torch.export.export(nn.ReLU(), (torch.zeros(2),))
    torch.export.save(program, tmp_path / "foreign.pt2")
    with zipfile.ZipFile(tmp_path / "foreign.pt2") as archive:
        assert archive.testzip() is None
    monkeypatch.setattr(torch.export, "load", lambda path: pytest.fail("loaded a foreign file"))
    with pytest.raises(UserError, match=r"foreign.pt2 was not exported by peerdistill"):
        predict(tmp_path / "foreign.pt2", [], trust=True)


def pixel_file(folder: Path, value: int = 0) -> Path:
    Image.new("L", (8, 8), value).save(folder / "p.png")
    return folder / "p.png"


def test_a_pt2_file_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/extra/peerdistill.card", b"1" * 50_000_000)
    with pytest.raises(UserError, match=r"bomb.pt2 is not a model: its parts take 50000000 bytes in a file of "):
        predict(tmp_path / "bomb.pt2", [], trust=True)


def test_a_pt2_file_with_a_card_and_no_program_is_refused(tmp_path: Path, card: LeaderCard):
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w") as archive:
        for key, text in card.to_metadata().items():
            archive.writestr(f"empty/extra/{key}", text)
    with pytest.raises(UserError, match=r"empty.pt2 is not a model: cannot read it as pt2") as error:
        predict(tmp_path / "empty.pt2", [], trust=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "program",
    [nn.Flatten(), nn.Identity(), nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), nn.Linear(9, 2)],
    ids=["64 logits", "no row", "3 logits", "does not run"],
)
def test_a_pt2_program_that_does_not_match_its_card_is_refused(tmp_path: Path, program: nn.Module):
    card = LeaderCard("resnet8", ("a", "b"), 8, 1, (0.3,), (0.4,), 1.0)
    images = torch.zeros(2, 1, 8, 9 if isinstance(program, nn.Linear) else 8)
    exported = torch.export.export(program, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(exported, tmp_path / "m.pt2", extra_files=card.to_metadata())
    with pytest.raises(UserError, match=r"m.pt2 (gives|must give|cannot score)"):
        predict(tmp_path / "m.pt2", [pixel_file(tmp_path)], trust=True)

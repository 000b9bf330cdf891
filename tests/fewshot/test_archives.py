import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.fewshot import FewShotData, load_few_shot
from support.photos import noise

NAMES = ("ant", "bee", "cat", "dog")


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(seed, 8, 8)).save(file, "PNG")
    return file.getvalue()


def archive(folder: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(folder / "mine.zip", "w") as opened:
        for name, content in dict(members).items() if isinstance(members, dict) else members:
            opened.writestr(name, content)
    return folder / "mine.zip"


MEMBERS = {f"{name}/{number}.png": picture(number) for number in range(3) for name in NAMES}


def load(file: Path, *, skip: bool = False):
    return load_few_shot(FewShotData(str(file), image_size=8), skip_unreadable=skip)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"photos/{name}",
        lambda name: f"./{name}",
        lambda name: f"/{name}",
        lambda name: name.replace("/", "\\"),
    ],
)
def test_names_are_paths_below_the_archive(tmp_path, rename):
    plain = load(archive(tmp_path, MEMBERS))
    other = load(archive(tmp_path, {rename(name): content for name, content in MEMBERS.items()}))
    assert other.fingerprint == plain.fingerprint


def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path):
    file = archive(tmp_path, {**MEMBERS, "ant/../../../9.png": picture(9)})
    with pytest.raises(UserError, match=r"has a member 'ant/\.\./\.\./\.\./9\.png': names must not"):
        load(file)


def test_the_last_of_several_members_with_one_name_counts(tmp_path):
    plain = load(archive(tmp_path, MEMBERS))
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = archive(tmp_path, [("ant/0.png", picture(77)), *MEMBERS.items()])
    with pytest.warns(
        PeerdistillWarning, match="has several members with the same name, the last one is used: 'ant/0.png'"
    ):
        assert load(file).fingerprint == plain.fingerprint


def patched(file: Path, offset_in_entry: int, value: bytes) -> None:
    """Change the first member's entry in the archive's directory."""
    content = bytearray(file.read_bytes())
    at = content.index(b"PK\x01\x02") + offset_in_entry
    content[at : at + len(value)] = value
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (8, struct.pack("<H", 1), "it is encrypted"),
        (10, struct.pack("<H", 99), "That compression method is not supported"),
        (16, b"wrng", "Bad CRC-32"),
        (42, struct.pack("<I", 2**30), ""),
    ],
)
def test_an_unreadable_member_is_named_or_left_out(tmp_path, offset, value, reason):
    file = archive(tmp_path, MEMBERS)
    patched(file, offset, value)
    with pytest.raises(UserError, match=f"cannot read picture '{file}/.*': {reason}.*--skip_unreadable"):
        load(file)
    with pytest.warns(PeerdistillWarning, match="1 unreadable picture is left out: 'ant/0.png'"):
        assert load(file, skip=True).skipped == 1


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_any_damage_is_one_sentence(tmp_path_factory, at, noise):
    file = archive(tmp_path_factory.getbasetemp(), MEMBERS)
    content = bytearray(file.read_bytes())
    at %= len(content)
    content[at : at + len(noise)] = noise
    file.write_bytes(content)
    for skip in (False, True):
        message = ""
        try:
            load(file, skip=skip)
        except UserError as error:
            message = str(error)
        assert "\n" not in message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.backbones.adapters.timm_names import TimmName
from peerdistill.errors import UserError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = SCALARS | st.text(max_size=8) | st.lists(SCALARS | st.text(max_size=8), max_size=3)
ARGUMENTS = st.dictionaries(st.sampled_from(["drop_rate", "global_pool", "x"]), VALUES, max_size=3)
SOURCES = st.sampled_from(["", "hf-hub:owner/name@v1", "local-dir:/a folder/with ? and & and = in it"])


@settings(max_examples=50)
@given(arguments=ARGUMENTS, source=SOURCES)
def test_a_name_survives_its_text(arguments, source):
    name = TimmName("resnet18", arguments, source)
    assert TimmName.parse(str(name)) == name


def test_a_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(TimmName.parse("local-dir:nets/mine")) == f"local-dir:{tmp_path}/nets/mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf-hub:resnet18", "hf-hub needs OWNER/NAME, found 'resnet18'"),
        ("hf-hub:", "hf-hub needs OWNER/NAME, found ''"),
        ("hf-hub:a/b/c", "hf-hub needs OWNER/NAME, found 'a/b/c'"),
        ("local-dir:", "local-dir needs a path, found nothing"),
        ("resnet18?drop_rate", "backbone resnet18.drop_rate: arguments must have the form NAME=VALUE&NAME=VALUE"),
    ],
)
def test_malformed_names_are_one_sentence(name, message):
    with pytest.raises(UserError, match=message):
        TimmName.parse(name)

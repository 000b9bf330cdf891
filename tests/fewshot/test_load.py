import pytest

from peerdistill.errors import UserError
from peerdistill.fewshot import FewShotData, load_few_shot
from peerdistill.fewshot.dataset import divide_classes
from support.digits import write_npz


@pytest.fixture
def digits_file(tmp_path, digit_source):
    images = digit_source.images
    return write_npz(tmp_path / "digits.npz", images.images, images.labels, "0123456789")


def test_arrays_are_divided_by_classes(digits_file):
    data = load_few_shot(FewShotData(f"npz:{digits_file}"))
    splits = divide_classes("0123456789")
    for split in ("train", "val", "test"):
        expected = tuple(name for name, of in zip("0123456789", splits, strict=True) if of == split)
        assert getattr(data, split).class_names == expected
    assert (data.name, data.channels, data.image_size) == ("digits", 1, 16)


def test_files_are_one_after_the_other(digits_file):
    data = load_few_shot(FewShotData(f"npz:{digits_file},{digits_file}"))
    assert len(data.train) == 2 * len(load_few_shot(FewShotData(f"npz:{digits_file}")).train)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": "npz:none.npz"}, "file 'none.npz' does not exist"),
        ({"data": "npz:"}, "data must be npz:FILE"),
        ({"data": "none/there"}, "folder 'none/there' does not exist"),
        ({"data": "photos", "image_size": 4}, "image_size must be at least 8 and .*, found 4"),
        ({"data": "photos", "crop_padding": -1}, "crop_padding must be at least 0 and .*, found -1"),
    ],
)
def test_what_is_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        load_few_shot(FewShotData(**changes))

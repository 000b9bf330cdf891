import re

import numpy as np
import pytest

from peerdistill.data import DataConfig, eval_batches, load_dataset
from peerdistill.errors import UserError

NAMES = np.array(["ant", "bee", "cat", "dog"])


def load(*files, test=None, validation=0.0):
    data = "npz:" + ",".join(str(file) for file in files)
    return load_dataset(DataConfig(data, test=None if test is None else f"npz:{test}", validation=validation))


def test_one_file_is_divided(make_npz):
    dataset = load(make_npz("letters.npz"), validation=0.25)
    assert (dataset.name, dataset.class_names) == ("letters", ("ant", "bee", "cat", "dog"))
    assert (dataset.channels, dataset.image_size, dataset.crop) == (3, 8, 1.0)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (24, 8, 8)


def test_files_follow_each_other_and_the_test_file_is_whole(make_npz):
    first = make_npz("1.npz")
    second = make_npz("2.npz", images=np.full((3, 8, 8, 3), 7, np.uint8), labels=np.array([3, 0, 2], np.int32))
    dataset = load(first, second, test=second)
    assert len(dataset.train) == 43
    assert np.array_equal(dataset.train.images[:40].numpy(), np.moveaxis(np.load(first)["images"], 3, 1))
    assert (dataset.train.images[40:] == 7).all()
    assert dataset.train.labels[40:].tolist() == dataset.test.labels.tolist() == [3, 0, 2]
    assert dataset.val is None


def test_grey_images_need_no_channel_axis(make_npz):
    grey = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    without, with_axis = load(make_npz("a.npz", images=grey)), load(make_npz("b.npz", images=grey[..., None]))
    assert without.channels == 1
    assert without.fingerprint == with_axis.fingerprint
    assert np.array_equal(without.train.images, with_axis.train.images)


def test_names_may_be_bytes_and_other_keys_are_ignored(make_npz):
    file = make_npz(class_names=NAMES.astype("S"), files=np.array([object()]), note=np.array("pickled objects too"))
    assert load(file).class_names == ("ant", "bee", "cat", "dog")
    odd = make_npz(class_names=np.array([b"ant", "bée".encode(), b"\xff", b"\xfe"]))
    assert load(odd).class_names == ("ant", "bée", "\\xff", "\\xfe")


def test_same_labels_with_other_pixels_have_another_fingerprint(make_npz):
    one = load(make_npz("a.npz"))
    other = load(make_npz("b.npz", images=np.load(make_npz("a.npz"))["images"] // 2))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"without": "images"}, "'FILE' lacks 'images': it has 'labels' and 'class_names'"),
        ({"without": "labels"}, "'FILE' lacks 'labels': it has 'images' and 'class_names'"),
        ({"without": "class_names"}, "'FILE' lacks 'class_names': it has 'images' and 'labels'"),
        ({"images": np.zeros((40, 8, 8, 3))}, "images of 'FILE' must be uint8 with pixels in 0..255, found float64"),
        (
            {"images": np.zeros((40, 64), np.uint8)},
            "images of 'FILE' must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N, H, W above 0, "
            "found (40, 64)",
        ),
        (
            {"images": np.zeros((40, 8, 8, 4), np.uint8)},
            "images of 'FILE' must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N, H, W above 0, "
            "found (40, 8, 8, 4)",
        ),
        (
            {"images": np.zeros((0, 8, 8, 3), np.uint8), "labels": np.zeros(0, int)},
            "images of 'FILE' must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N, H, W above 0, "
            "found (0, 8, 8, 3)",
        ),
        ({"images": np.zeros((40, 8, 9, 3), np.uint8)}, "images of 'FILE' must be square, found 8 x 9"),
        (
            {"labels": np.zeros(40)},
            "labels of 'FILE' must be 40 integers, one for each image, found float64 of shape (40,)",
        ),
        (
            {"labels": np.zeros(39, np.int64)},
            "'FILE' has 40 images but 39 labels: one is needed for each image",
        ),
        (
            {"labels": np.arange(40) % 5},
            "label 4 of sample 4 of 'FILE' is outside 0..3, the rows of its 4 class_names",
        ),
        (
            {"labels": np.full(40, -1)},
            "label -1 of sample 0 of 'FILE' is outside 0..3, the rows of its 4 class_names",
        ),
        (
            {"class_names": np.array([1, 2, 3, 4])},
            "class_names of 'FILE' must be two or more strings, found int64 of shape (4,)",
        ),
        (
            {"class_names": np.array(["ant"])},
            "class_names of 'FILE' must be two or more strings, found <U3 of shape (1,)",
        ),
        (
            {"class_names": np.array(["ant", "bee", "ant", "dog"])},
            "class_names of 'FILE' contains 'ant' more than once",
        ),
        (
            {"class_names": NAMES.astype(object)},
            "'class_names' of 'FILE' must contain numbers or strings, found the type object",
        ),
    ],
)
def test_content_that_is_not_allowed(make_npz, arrays, sentence):
    file = make_npz(**arrays)
    with pytest.raises(UserError, match="^" + re.escape(sentence.replace("FILE", str(file)))):
        load(file)


def test_file_that_is_absent(tmp_path):
    with pytest.raises(UserError, match=re.escape(f"file '{tmp_path / 'absent.npz'}' does not exist")):
        load(tmp_path / "absent.npz")


def test_file_that_is_no_archive(tmp_path):
    np.save(tmp_path / "array.npy", np.arange(3))
    with pytest.raises(UserError, match=r"array\.npy' is not an npz file"):
        load(tmp_path / "array.npy")


def test_damaged_archive(make_npz):
    file = make_npz()
    content = bytearray(file.read_bytes())
    content[1000] ^= 255  # a pixel: the archive's checksum no longer holds
    file.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"cannot read '{file}': ")):
        load(file)


def test_files_that_disagree(make_npz):
    first = make_npz("1.npz")
    other_names = make_npz("2.npz", class_names=np.array(["ant", "bee", "cow", "dog"]))
    other_order = make_npz("3.npz", class_names=NAMES[::-1])
    other_size = make_npz("4.npz", images=np.zeros((40, 9, 9, 3), np.uint8))
    grey = make_npz("5.npz", images=np.zeros((40, 8, 8), np.uint8))
    shape = "shape (height, width, channels)"
    sentences = {
        other_names: f"'{other_names}' and '{first}' have different class_names: only one of them has 'cat' and 'cow'",
        other_order: f"'{other_order}' and '{first}' have different class_names: their order differs",
        other_size: f"'{other_size}' has images of {shape} (9, 9, 3), but '{first}' of shape (8, 8, 3)",
        grey: f"'{grey}' has images of {shape} (8, 8, 1), but '{first}' of shape (8, 8, 3)",
    }
    for file, sentence in sentences.items():
        for arguments in ({"files": [first, file]}, {"files": [first], "test": file}):
            with pytest.raises(UserError) as error:
                load(*arguments["files"], test=arguments.get("test"))
            assert str(error.value) == sentence


def test_shared_cifar100(shared_data):
    quarters = [shared_data / f"cifar100_train_{number}of4.npz" for number in (1, 2)]
    dataset = load(*quarters, test=shared_data / "cifar100_test.npz", validation=0.1)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (22_500, 2_500, 10_000)
    assert dataset.train.labels.bincount().tolist() == [225] * 100
    assert dataset.class_names[:2] == ("apple", "aquarium_fish")
    assert dataset.mean == pytest.approx((0.5071, 0.4865, 0.4409), abs=2e-3)
    assert dataset.std == pytest.approx((0.2673, 0.2564, 0.2762), abs=2e-3)
    batch = next(iter(eval_batches(dataset.test, dataset, batch_size=500, device="cpu", workers=0)))
    assert batch.images.shape == (500, 3, 32, 32)
    assert batch.labels.bincount().tolist() == [100] * 5


def test_a_class_without_a_training_image_is_refused(make_npz):
    file = make_npz(class_names=np.array(["ant", "bee", "cat", "dog", "emu"]))
    with pytest.raises(UserError, match="has no training image of class 'emu': every class needs one"):
        load(file)


def test_mirrored_images_have_another_fingerprint(make_npz):
    plain = load(make_npz())
    with np.load(make_npz()) as arrays:
        images = arrays["images"]
    mirrored = load(make_npz(images=images[:, :, ::-1]))
    assert (mirrored.mean, mirrored.std) == (plain.mean, plain.std)
    assert mirrored.fingerprint != plain.fingerprint
    assert mirrored.held_out != plain.held_out

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from peerdistill.errors import UserError
from peerdistill.fewshot import FewShotData, load_few_shot
from peerdistill.fewshot.omniglot import load_omniglot, split_of

ALPHABETS = {
    "background": ("Armenian", "Greek", "Hebrew"),  # of Vinyals' validation, training and validation classes
    "evaluation": ("Angelic", "Keble", "Tibetan"),  # of training, test and test classes
}


def write_folders(root: Path, characters: int = 2, drawings: int = 3) -> None:
    """Write noise as the public folders have it: black ink on white paper, one bit a pixel."""
    draws = np.random.default_rng(0)
    for original, alphabets in ALPHABETS.items():
        for alphabet in alphabets:
            for character in range(1, characters + 1):
                folder = root / f"images_{original}" / alphabet / f"character{character:02}"
                folder.mkdir(parents=True)
                for drawing in range(1, drawings + 1):
                    ink = draws.random((105, 105)) < 0.1
                    Image.fromarray(~ink).save(folder / f"0001_{drawing:02}.png")


def arrays(**changes) -> dict[str, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 28, 28), dtype=np.uint8)
    return {
        "images": images,
        "alphabet": np.array(["Greek", "Greek", "Keble", "Keble"]),
        "character": np.array(["character01", "character02"] * 2),
        "split": np.array(["background"] * 2 + ["evaluation"] * 2),
    } | changes


def omniglot(root: Path, **options) -> FewShotData:
    return FewShotData("omniglot", root=str(root), **options)


class TestRealFile:
    """The complete data set."""

    def test_vinyals_split_is_that_of_the_lists_of_snell_et_al(self, shared_data):
        with np.load(shared_data / "omniglot28.npz") as archive:
            columns = [archive[name].tolist() for name in ("alphabet", "character", "split")]
            expected = archive["vinyals"].tolist()
        found = [split_of("vinyals", *character) for character in zip(*columns, strict=True)]
        assert found == expected
        assert Counter(found) == {"train": 1028, "val": 172, "test": 423}

    def test_rotated_classes_are_four_times_as_many(self, shared_data):
        data = load_few_shot(omniglot(shared_data, rotations=True))
        splits = (data.train, data.val, data.test)
        assert [len(split.class_names) for split in splits] == [4112, 688, 1692]
        assert [len(split) for split in splits] == [82_240, 13_760, 33_840]
        assert (data.channels, data.image_size, data.crop) == (1, 28, 1.0)

    def test_original_split_has_no_validation_classes(self, shared_data):
        data = load_few_shot(omniglot(shared_data, class_split="background"))
        assert (len(data.train.class_names), data.val, len(data.test.class_names)) == (964, None, 659)

    def test_trainval_has_1200_characters(self, shared_data):
        data = load_few_shot(omniglot(shared_data, trainval=True))
        assert len(data.train.class_names) == 1200

    def test_a_file_can_be_chosen(self, shared_data):
        bits = load_few_shot(omniglot(shared_data / "omniglot28.npz"))
        grey = load_few_shot(omniglot(shared_data))
        assert set(bits.test.images.unique().tolist()) == {0, 255}
        assert len(grey.test.images.unique()) == 256
        assert bits.fingerprint != grey.fingerprint

    def test_public_drawings_become_what_the_compact_file_holds(self, shared_data, tmp_path):
        with np.load(shared_data / "omniglot105_bits.npz") as archive:
            ink = np.unpackbits(archive["bits"][::90, :2], axis=-1)[..., : 105 * 105].reshape(-1, 2, 105, 105)
            names = [archive[name][::90].tolist() for name in ("split", "alphabet", "character")]
        for (original, alphabet, character), drawings in zip(zip(*names, strict=True), ink, strict=True):
            folder = tmp_path / f"images_{original}" / alphabet / character
            folder.mkdir(parents=True)
            for number, drawing in enumerate(drawings):
                Image.fromarray(drawing == 0).save(folder / f"{number}.png")
        found = load_omniglot(tmp_path, "vinyals")
        with np.load(shared_data / "omniglot28_grey.npz") as archive:
            expected = 255 - archive["images"][::90, :2].reshape(-1, 28, 28, 1)
        order = [found.images.class_names.index(f"{a}/{c}") for a, c in zip(*names[1:], strict=True)]
        images = found.images.images.reshape(-1, 2, 28, 28, 1)[order].reshape(-1, 28, 28, 1)
        assert np.abs(images.astype(int) - expected).max() <= 1


def test_public_folders_are_read_with_their_splits(tmp_path):
    write_folders(tmp_path)
    data = load_few_shot(omniglot(tmp_path))
    of = {
        split: {name.split("/")[0] for name in getattr(data, split).class_names} for split in ("train", "val", "test")
    }
    assert of == {"train": {"Greek", "Angelic"}, "val": {"Armenian", "Hebrew"}, "test": {"Keble", "Tibetan"}}
    assert data.train.class_names[0] == "Greek/character01"
    assert len(data.train) == 2 * 2 * 3
    original = load_few_shot(omniglot(tmp_path, class_split="background"))
    assert {name.split("/")[0] for name in original.test.class_names} == set(ALPHABETS["evaluation"])


def test_networks_see_paper_as_zero(tmp_path):
    write_folders(tmp_path)
    data = load_few_shot(omniglot(tmp_path))
    assert (data.mean, data.std) == ((1.0,), (1.0,))
    assert data.train.images.float().mean() > 200  # white paper


def test_folders_of_torchvision_are_found(tmp_path):
    write_folders(tmp_path / "omniglot-py")
    assert len(load_few_shot(omniglot(tmp_path)).train.class_names) == 4


def test_unreadable_drawings_are_named_or_left_out(tmp_path):
    write_folders(tmp_path)
    broken = tmp_path / "images_background" / "Greek" / "character01" / "0001_02.png"
    broken.write_text("no drawing")
    with pytest.raises(UserError, match=r"cannot read picture '.*0001_02\.png'.*--skip_unreadable"):
        load_few_shot(omniglot(tmp_path))
    data = load_few_shot(omniglot(tmp_path), skip_unreadable=True)
    assert (data.skipped, len(data.train)) == (1, 11)


def test_half_of_the_folders_is_not_enough(tmp_path):
    write_folders(tmp_path)
    shutil.rmtree(tmp_path / "images_evaluation")
    with pytest.raises(UserError, match="is incomplete: the folder images_evaluation is missing"):
        load_few_shot(omniglot(tmp_path))


def test_absent(tmp_path):
    with pytest.raises(UserError) as error:
        load_few_shot(omniglot(tmp_path))
    assert str(error.value) == (
        f"'{tmp_path}' has no omniglot (no folders images_background and images_evaluation, no file "
        "omniglot28_grey.npz or omniglot28.npz): choose another folder with --root, or add --download"
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"images": np.zeros((4, 3, 28, 28))},
            r"must be uint8 of shape \(characters, drawings, 28, 28\), found float64",
        ),
        ({"images": np.zeros((4, 3, 14, 14), np.uint8)}, r"found uint8 of shape \(4, 3, 14, 14\)"),
        ({"images": np.zeros((3, 3, 28, 28), np.uint8)}, r"found uint8 of shape \(3, 3, 28, 28\)"),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path, changes, sentence):
    np.savez(tmp_path / "omniglot28.npz", **arrays(**changes))
    with pytest.raises(UserError, match=sentence):
        load_few_shot(omniglot(tmp_path))


def test_a_key_that_is_missing_is_named(tmp_path):
    content = arrays()
    del content["alphabet"]
    np.savez(tmp_path / "omniglot28.npz", **content)
    with pytest.raises(UserError, match="lacks 'alphabet'"):
        load_few_shot(omniglot(tmp_path))


def test_ink_of_the_compact_file_is_bright(tmp_path):
    np.savez(tmp_path / "omniglot28.npz", **arrays())
    data = load_few_shot(omniglot(tmp_path))
    expected = torch.from_numpy(255 - arrays()["images"][:2].reshape(6, 1, 28, 28))
    assert torch.equal(data.train.images, expected)


def test_download_is_torchvision_s(tmp_path, monkeypatch):
    asked = []

    def fetch(root, background, download):
        asked.append((root, background, download))
        if len(asked) == 2:
            write_folders(root / "omniglot-py")

    monkeypatch.setattr("torchvision.datasets.Omniglot", fetch)
    data = load_few_shot(omniglot(tmp_path), download=True)
    assert asked == [(tmp_path, True, True), (tmp_path, False, True)]
    assert len(data.train.class_names) == 4


def test_a_failed_download_is_reported(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.Omniglot", fail)
    with pytest.raises(UserError, match=f"cannot download omniglot into '{tmp_path}': no network"):
        load_few_shot(omniglot(tmp_path), download=True)


def test_the_class_split_applies_only_to_omniglot(tmp_path):
    with pytest.raises(UserError, match=f"class_split applies only to omniglot, found data '{tmp_path}'"):
        load_few_shot(FewShotData(str(tmp_path), class_split="background"))

import torch

from peerdistill.data.dataset import fingerprint

DATA = {
    "class_names": ("ant", "bee"),
    "pixel_statistics": (0.5, 0.25),
    "labels": torch.tensor([0, 1, 1]),
    "files": ("ant/0.png", "bee/1.png", "bee/2.png"),
}


def test_fingerprint_is_the_same_for_the_same_data():
    assert fingerprint(**DATA) == fingerprint(**DATA | {"labels": torch.tensor([0, 1, 1])})
    assert len(fingerprint(**DATA)) == 16


def test_fingerprint_changes_with_every_part():
    others = [
        {"class_names": ("ant", "cat")},
        {"class_names": ("bee", "ant")},
        {"pixel_statistics": (0.5, 0.26)},
        {"labels": torch.tensor([1, 0, 1])},
        {"labels": torch.tensor([0, 1, 1, 1])},
        {"files": ("ant/0.png", "bee/1.png", "bee/3.png")},
        {"files": ()},
        # All class names pass over to the files.
        {"class_names": (), "files": ("ant", "bee", *DATA["files"])},
    ]
    prints = {fingerprint(**DATA | other) for other in others}
    assert fingerprint(**DATA) not in prints

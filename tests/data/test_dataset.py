import numpy as np
import torch

from peerdistill.data.dataset import ArraySplit, FolderSplit, fingerprint
from peerdistill.data.images.preprocess import EvalCrop, Resized
from peerdistill.data.images.reader import PictureReader
from peerdistill.data.packed_names import PackedNames

NAMES = ("ant", "bee")
LABELS = torch.tensor([0, 1, 1])


def arrays(images=None, labels=LABELS) -> ArraySplit:
    images = torch.arange(3 * 8 * 8, dtype=torch.uint8).reshape(3, 1, 8, 8) if images is None else images
    return ArraySplit(images, labels)


def pictures(files=("ant/0.png", "bee/1.png", "bee/2.png"), digests=(1, 2, 3), labels=LABELS, folder="here"):
    rows = np.array(digests, dtype=np.uint8)[:, np.newaxis].repeat(16, axis=1)
    readers = PictureReader(EvalCrop(8, 3, 1.0)), PictureReader(Resized(16, 3))
    return FolderSplit(PackedNames(files, folder), labels, *readers, 8, 1.0, 3, rows)


def test_fingerprint_is_the_same_for_the_same_data():
    assert fingerprint(NAMES, arrays(), (0.5, 0.25)) == fingerprint(NAMES, arrays(), (0.5, 0.25))
    assert fingerprint(NAMES, pictures()) == fingerprint(NAMES, pictures(folder="elsewhere"))
    assert len(fingerprint(NAMES, arrays())) == 16


def test_fingerprint_changes_with_every_part():
    plain = arrays().images
    prints = [
        fingerprint(NAMES, arrays()),
        fingerprint(("ant", "cat"), arrays()),
        fingerprint(("bee", "ant"), arrays()),
        fingerprint(NAMES, arrays(), (0.5,)),
        fingerprint(NAMES, arrays(labels=torch.tensor([1, 0, 1]))),
        fingerprint(NAMES, arrays(plain.flip(3))),  # mean and deviation stay
        fingerprint(NAMES, arrays(plain.flip(0))),
        fingerprint(NAMES, pictures()),
        fingerprint(NAMES, pictures(digests=(1, 2, 4))),
        fingerprint(NAMES, pictures(digests=(2, 1, 3))),
        fingerprint(NAMES, pictures(files=("ant/0.png", "bee/1.png", "bee/3.png"))),
        fingerprint(NAMES, pictures(labels=torch.tensor([0, 0, 1]))),
    ]
    assert len(set(prints)) == len(prints)

"""Omniglot (Lake et al., Science 2015): 1,623 characters of 50 alphabets, 20 drawings each, as 28 x 28 grey images."""

from pathlib import Path

import numpy as np

from peerdistill.data.arrays import LabelledImages
from peerdistill.data.images.reader import open_listed
from peerdistill.data.layout import Pictures, is_picture
from peerdistill.data.listing import Owners, list_folder
from peerdistill.data.npz_file import read_keys
from peerdistill.errors import UserError, cause
from peerdistill.fewshot.config import ClassSplitName
from peerdistill.fewshot.dataset import ClassSource
from peerdistill.fewshot.pictures import decode

SIZE = 28
"""Side of the images in pixels."""

COMPACT_FILES = ("omniglot28_grey.npz", "omniglot28.npz")
"""Names of a file with the arrays ``images`` (characters, drawings, 28, 28), with bright ink, and ``alphabet``,
``character`` and ``split`` ("background" or "evaluation") of each character."""

# Mean and standard deviation: white paper becomes 0, the value of padding, and ink -1 (in Snell et al. 1; the first
# convolution absorbs the sign).
_PAPER_IS_ZERO = ((1.0,), (1.0,))

_FOLDERS = {"background": "images_background", "evaluation": "images_evaluation"}
_KEYS = ("images", "alphabet", "character", "split")

# The split of Vinyals et al. (NIPS 2016) in the lists of Snell et al. (2017): whole alphabets, except one whose last
# four characters are for testing. Other alphabets are for training.
_VAL_ALPHABETS = frozenset({"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"})
_TEST_ALPHABETS = frozenset(
    {
        *("Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)", "Oriya"),
        *("Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG"),
    }
)
_DIVIDED_ALPHABET, _FIRST_TEST_CHARACTER = "Gurmukhi", "character42"


def split_of(class_split: ClassSplitName, alphabet: str, character: str, original: str) -> str:
    """Return the split of a character.

    Args:
        class_split: "vinyals" (1028 characters for training, 172 for validation, 423 for testing) or "background"
            (964 for training, 659 for testing).
        alphabet: Its name in the public folders.
        character: For example "character03".
        original: "background" or "evaluation", its public folder.
    """
    if class_split == "background":
        return "train" if original == "background" else "test"
    if alphabet in _VAL_ALPHABETS:
        return "val"
    tested = alphabet in _TEST_ALPHABETS or (alphabet == _DIVIDED_ALPHABET and character >= _FIRST_TEST_CHARACTER)
    return "test" if tested else "train"


def load_omniglot(
    root: Path, class_split: ClassSplitName, *, download: bool = False, skip_unreadable: bool = False
) -> ClassSource:
    """Return Omniglot with black ink on white paper, as in the public drawings.

    It is read from the first of these that exists: ``root`` itself, if it is a file of arrays; the public folders
    ``images_background`` and ``images_evaluation`` in ``root`` or ``root/omniglot-py``, with a folder per alphabet and
    in it one per character; one of `COMPACT_FILES` in ``root``.

    Args:
        root: The folder or file.
        class_split: Which classes are for training, validation and testing, see :func:`split_of`.
        download: Whether to download the public folders.
        skip_unreadable: Whether to leave out unreadable drawings with a warning.

    Raises:
        UserError: None of them exists, or it is damaged or incomplete.
    """
    if download:
        _download(root)
    if root.is_file():
        return _read_arrays(root, class_split)
    folder = next(
        (at for at in (root, root / "omniglot-py") if any((at / name).is_dir() for name in _FOLDERS.values())), None
    )
    if folder is not None:
        return _read_folders(folder, class_split, skip=skip_unreadable)
    file = next((root / name for name in COMPACT_FILES if (root / name).is_file()), None)
    if file is None:
        raise UserError(
            f"'{root}' has no omniglot (no folders {' and '.join(_FOLDERS.values())}, no file "
            f"{' or '.join(COMPACT_FILES)}): choose another folder with --root, or add --download"
        )
    return _read_arrays(file, class_split)


def _download(root: Path) -> None:
    from torchvision.datasets import Omniglot

    try:
        for background in (True, False):
            Omniglot(root, background=background, download=True)
    except (RuntimeError, OSError) as error:
        raise UserError(f"cannot download omniglot into '{root}': {cause(error)}") from error


def _read_arrays(file: Path, class_split: ClassSplitName) -> ClassSource:
    images, alphabets, characters, originals = read_keys(file, _KEYS).values()
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[2:] != (SIZE, SIZE)
        or 0 in images.shape
        or originals.shape != images.shape[:1]
    ):
        raise UserError(
            f"images of '{file}' must be uint8 of shape (characters, drawings, {SIZE}, {SIZE}), "
            f"found {images.dtype} of shape {images.shape}"
        )
    for key, column in (("alphabet", alphabets), ("character", characters), ("split", originals)):
        if column.shape != (len(images),) or column.dtype.kind != "U":
            raise UserError(
                f"{key} of '{file}' must be {len(images)} strings, one for each character of images, "
                f"found {column.dtype} of shape {column.shape}"
            )
    names = tuple(f"{alphabet}/{character}" for alphabet, character in zip(alphabets, characters, strict=True))
    labels = np.repeat(np.arange(len(names)), images.shape[1])
    columns = zip(alphabets.tolist(), characters.tolist(), originals.tolist(), strict=True)
    return ClassSource(
        LabelledImages(255 - images.reshape(-1, SIZE, SIZE, 1), labels, names),
        tuple(split_of(class_split, *column) for column in columns),
        statistics=_PAPER_IS_ZERO,
    )


def _read_folders(folder: Path, class_split: ClassSplitName, *, skip: bool) -> ClassSource:
    for name in _FOLDERS.values():
        if not (folder / name).is_dir():
            raise UserError(f"omniglot in '{folder}' is incomplete: the folder {name} is missing")
    owners = Owners(depth=2)
    found = {original: _drawings(folder / name, original, owners) for original, name in _FOLDERS.items()}
    drawings = [(original, *drawing) for original, (_, drawings) in found.items() for drawing in drawings]
    characters = [(original, character) for original, (characters, _) in found.items() for character in characters]
    label_of = {character: label for label, character in enumerate(characters)}
    images, is_read = decode([file for _, _, file in drawings], open_listed, size=SIZE, channels=1, skip=skip)
    labels = np.array([label_of[original, character] for original, character, _ in drawings])[is_read]
    names = tuple(character for _, character in characters)
    splits = tuple(
        split_of(class_split, alphabet, name, original)
        for original, character in characters
        for alphabet, _, name in [character.partition("/")]
    )
    return ClassSource(LabelledImages(images, labels, names), splits, int((~is_read).sum()), _PAPER_IS_ZERO)


def _drawings(folder: Path, original: str, owners: Owners) -> tuple[list[str], list[tuple[str, str]]]:
    """Return all "alphabet/character", and for each drawing its "alphabet/character" and path."""
    listing = list_folder(folder)
    characters = sorted((path[:-1] for path in listing.paths if path.count("/") == 2 and path[-1] == "/"), key=_parts)
    files = sorted((path for path in listing.paths if _is_drawing(path)), key=_parts)
    drawings = owners.once(listing, original, Pictures(folder, (), tuple(files)))
    return characters, [
        (file.rpartition("/")[0], path) for file, path in zip(drawings.files, drawings.paths(), strict=True)
    ]


def _is_drawing(file: str) -> bool:
    return file.count("/") == 2 and is_picture(file.rpartition("/")[2])


def _parts(path: str) -> list[str]:
    return path.split("/")

"""Part of a data set: fewer classes and training images, wrong labels. The choice is the same in every run."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from peerdistill.data.config import SubsetConfig
from peerdistill.data.dataset import ArraySplit, Dataset, Split, fingerprint, held_out_fingerprints
from peerdistill.errors import UserError, some_of
from peerdistill.rng import Draws, keyed_generator


def subset_of(data: Dataset, config: SubsetConfig) -> Dataset:
    """Return the classes and training images that ``config`` keeps, evenly spaced in the order of the data.

    Validation and test splits keep all images of these classes. Channel statistics stay those of the whole data.
    A fraction ``wrong_labels`` of the training images, drawn at random, gets any other class with equal probability.

    Raises:
        UserError: The data has fewer classes, or a class has fewer training images, or wrong labels leave it without
            one.

    Example:
        >>> from peerdistill.data import DataConfig, load_dataset
        >>> digits = subset_of(load_dataset(DataConfig("digits")), SubsetConfig(classes=5, per_class=20))
        >>> digits.class_names, len(digits.train)
        (('0', '2', '4', '6', '8'), 100)
    """
    if not config.is_on:
        return data
    names = np.asarray(data.class_names)
    kept = _spaced(len(names), config.classes, f"subset.classes: {data.name} has only {len(names)} classes")
    class_names = tuple(names[kept].tolist())
    splits = {split: _of_classes(part, kept) for split in ("val", "test") if (part := getattr(data, split)) is not None}
    train = _of_classes(data.train, kept)
    if config.per_class is not None:
        train = rows_of(train, _spaced_rows(train.labels, class_names, config.per_class))
    if config.wrong_labels:
        train = replace(train, labels=_partly_wrong(train.labels, class_names, config.wrong_labels))
    statistics = (*data.mean, *data.std) if isinstance(train, ArraySplit) else ()
    return replace(
        data,
        class_names=class_names,
        train=train,
        **splits,
        fingerprint=fingerprint(class_names, train, statistics),
        held_out=held_out_fingerprints(dict.fromkeys(splits, class_names), splits),
    )


def _spaced(total: int, count: int | None, too_few: str) -> Int64[np.ndarray, " count"]:
    """Return ``count`` of ``total`` positions, evenly spaced."""
    if count is None:
        return np.arange(total)
    if count > total:
        raise UserError(f"{too_few}, found {count}")
    return np.arange(count) * total // count


def _of_classes(split: Split, kept: Int64[np.ndarray, " classes"]) -> Split:
    """Return the images of the classes in ``kept``, with labels that are rows of ``kept``."""
    labels = split.labels.numpy()
    chosen = rows_of(split, np.flatnonzero(np.isin(labels, kept)))
    return replace(chosen, labels=torch.from_numpy(np.searchsorted(kept, chosen.labels.numpy())))


def _spaced_rows(labels: Int64[Tensor, " samples"], class_names: tuple[str, ...], count: int) -> np.ndarray:
    """Return the rows of ``count`` samples of each class, evenly spaced."""
    found = []
    for label, name in enumerate(class_names):
        rows = np.flatnonzero(labels.numpy() == label)
        too_few = f"subset.per_class: class '{name}' has only {len(rows)} training images"
        found.append(rows[_spaced(len(rows), count, too_few)])
    return np.sort(np.concatenate(found))


def _partly_wrong(
    labels: Int64[Tensor, " samples"], class_names: tuple[str, ...], fraction: float
) -> Int64[Tensor, " samples"]:
    """Return ``labels`` with another class for a fraction of the samples."""
    classes = len(class_names)
    generator = keyed_generator(Draws.WRONG_LABELS)
    chosen = torch.randperm(len(labels), generator=generator)[: round(fraction * len(labels))]
    labels = labels.clone()
    shifts = torch.randint(1, classes, (len(chosen),), generator=generator)
    labels[chosen] = (labels[chosen] + shifts) % classes
    # Class weights, samplers and negatives rely on an image of every class, which all sources of data have.
    if empty := [class_names[label] for label in set(range(classes)) - set(labels.tolist())]:
        raise UserError(
            f"subset.wrong_labels {fraction} leaves no training image with the label {some_of(sorted(empty))}: set a "
            "smaller fraction, or keep more images of each class"
        )
    return labels


def rows_of(split: Split, rows: np.ndarray) -> Split:
    """Return the samples in ``rows``."""
    labels = split.labels[torch.from_numpy(rows)]
    if isinstance(split, ArraySplit):
        return replace(split, images=split.images[torch.from_numpy(rows)], labels=labels)
    return replace(split, paths=split.paths.at(rows), digests=split.digests[rows], labels=labels)

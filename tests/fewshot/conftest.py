"""Digits of scikit-learn at 16 x 16 as few-shot data, and small encoders."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from peerdistill import Cohort
from peerdistill.data.arrays import LabelledImages
from peerdistill.data.normaliser import Normaliser
from peerdistill.fewshot import FewShotDataset
from peerdistill.fewshot.dataset import ClassSource, assemble
from support.digits import digits_of_each_class

SPLITS = ("train",) * 5 + ("val",) * 2 + ("test",) * 3
"""Of the ten digits."""


def digit_images(per_class: int) -> LabelledImages:
    images, labels = digits_of_each_class(per_class)
    return LabelledImages(images[..., np.newaxis], labels, tuple("0123456789"))


@pytest.fixture(scope="session")
def digit_source() -> ClassSource:
    """Ten classes with 12 images each; 5 for training, 2 for validation, 3 for testing."""
    return ClassSource(digit_images(12), SPLITS)


@pytest.fixture(scope="session")
def digits(digit_source: ClassSource) -> FewShotDataset:
    return assemble("digits", digit_source)


@pytest.fixture(scope="session")
def normaliser(digits: FewShotDataset) -> Normaliser:
    return Normaliser(digits, torch.device("cpu"))


@pytest.fixture
def make_cohort(digits: FewShotDataset) -> Callable[..., Cohort]:
    """Return a function that makes a small cohort for the digits."""

    def make(peers: int = 2, sharing: str = "network", **options) -> Cohort:
        torch.manual_seed(0)
        return Cohort("conv4", len(digits.class_names), peers, sharing, in_channels=1, image_size=16, **options)

    return make

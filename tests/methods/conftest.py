"""Cohorts, batches and methods of small sizes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from peerdistill import Cohort, methods, terms
from peerdistill.terms import Method

TRAIN_LABELS = torch.arange(60) % 5


@pytest.fixture
def cohort():
    return Cohort("resnet8", classes=5, peers=3)


@pytest.fixture
def batch():
    """Images, labels and indices of training samples."""
    indices = torch.tensor([40, 7, 12, 33])
    return torch.randn(4, 3, 8, 8), TRAIN_LABELS[indices], indices


def _make_cohort(name: str, sharing: str | None = None, peers: int = 4) -> Cohort:
    torch.manual_seed(0)
    card = methods.find(name)
    options = {"peers": peers, "sharing": sharing or card.sharings[0], **card.cohort}
    return Cohort("resnet8", classes=5, **options)


def _make_method(name: str, cohort: Cohort, **options) -> Method:
    defaults = {option.name: option.default for option in methods.options_of(name)}
    if "contrast" in defaults:
        options.setdefault("contrast", replace(defaults["contrast"], count=12, width=8))
    if methods.find(name).needs_teacher:
        options["teacher"] = terms.Teacher(Cohort("resnet8", classes=5, peers=1, sharing="network"))
    return methods.build(name, cohort, train_labels=TRAIN_LABELS, **options)


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    """Return a function that makes the cohort that a method trains by default."""
    return _make_cohort


@pytest.fixture(scope="session")
def make_method() -> Callable[..., Method]:
    """Return a function that builds a method with few negatives and, if it needs one, an untrained teacher."""
    return _make_method

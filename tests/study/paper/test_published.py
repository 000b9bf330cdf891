"""The published figures: all of them, and some copied by hand from the paper."""

from collections import Counter

import pytest

from peerdistill.study.paper import SOURCE, all_published, published

OKDDIP = {"table": 3, "network": "ResNet-32", "method": "OKDDip", "role": "ensemble"}


def test_all_129_figures_are_there_once():
    figures = all_published()
    assert len(figures) == 129
    assert Counter(figure.table for figure in figures) == {1: 20, 2: 25, 3: 36, 4: 6, 5: 42}
    labels = [(one.table, one.dataset, one.setting, one.network, one.method, one.role) for one in figures]
    assert len(set(labels)) == 129
    assert "ICASSP 2021" in SOURCE


@pytest.mark.parametrize(
    ("labels", "mean", "std"),
    [
        ({"table": 1, "network": "VGG-16", "method": "DML"}, 24.73, 0.23),
        ({"table": 2, "network": "ResNet-110", "method": "MCL-OKD"}, 19.31, 0.42),
        ({"table": 2, "dataset": "ImageNet", "method": "ONE"}, 25.77, None),
        (
            {**OKDDIP, "setting": "branch"},
            23.45,
            None,
        ),
        (
            {**OKDDIP, "setting": "network"},
            22.77,
            None,
        ),
        ({"table": 4, "setting": "branch", "method": "CRD+KD"}, 26.25, 0.24),
        ({"table": 5, "dataset": "Omniglot", "setting": "20-way 1-shot", "method": "RKD-DA"}, 95.52, None),
        ({"table": 5, "dataset": "miniImageNet", "setting": "5-way 5-shot", "method": "MCL-OKD"}, 69.49, 0.33),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_figures_of_the_paper(labels, mean, std):
    figure = published(**labels)
    assert figure is not None
    assert (figure.mean, figure.std) == (mean, std)


def test_what_was_not_published_or_is_not_one_figure_is_none():
    assert published(table=2, network="ResNet-8", method="MCL-OKD") is None
    assert published(table=2, network="ResNet-32", method="MCL-OKD", role="ensemble") is None
    assert published(table=3, network="ResNet-32", method="MCL-OKD", role="ensemble") is None

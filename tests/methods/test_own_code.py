"""Methods and terms in the user's own code, in a folder outside the package."""

import sys
import textwrap

import pytest
import torch

from peerdistill import Cohort, methods
from peerdistill.config import parse
from peerdistill.errors import UserError
from peerdistill.terms import Method

MODULE = """
    from __future__ import annotations
    from dataclasses import dataclass
    from typing import TYPE_CHECKING, Literal
    from peerdistill.methods import MethodCard
    from peerdistill.ranges import Weight
    from peerdistill.terms import CrossEntropy, EnsembleToLeader, Method, Weighted
    if TYPE_CHECKING:
        from torch import Tensor
        from peerdistill import Cohort

    def plain(cohort: Cohort, train_labels: Tensor, *, labels: Weight = 0.5, mode: Literal["a", "b"] = "a", k=3):
        return Method([Weighted("labels", labels, CrossEntropy())])

    def with_card(cohort, train_labels): return plain(cohort, train_labels)
    CARD = MethodCard(with_card, loss="CE", sharings=("tree",), cohort={"peers": 2})

    def with_teacher(cohort, train_labels, teacher):
        return Method([Weighted("labels", 1.0, CrossEntropy())], teacher=teacher)

    class Own(Method):
        def __init__(self, cohort, train_labels, *, labels: float = 1.0):
            super().__init__([Weighted("labels", labels, CrossEntropy())])

    def swapped(train_labels, *, labels: float = 1.0): ...
    def any_number(*args, **options): ...
    def without_star(cohort, train_labels, temperature=3.0): ...
    def no_default(cohort, train_labels, *, labels: float): ...
    def odd_type(cohort, train_labels, *, cohorts: tuple[int, ...] = ()): ...
    def unknown_type(cohort, train_labels, *, weight: Wieght = 1.0): ...
    def nothing(cohort, train_labels): ...
    number = 3
"""


TERM = """
    from torch import nn

    class Similarity(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.head = nn.Linear(width, 4)

        def forward(self, out, batch):
            first, second = (nn.functional.normalize(self.head(out.features[peer]), dim=-1) for peer in (0, 1))
            return (first * second).sum(-1).mean()
"""
METHOD = """
    from peerdistill.ranges import Weight
    from peerdistill.terms import CrossEntropy, Method, Weighted
    from myterms import Similarity

    def diverse(cohort, train_labels, *, similarity: Weight = 0.1):
        return Method(
            [
                Weighted("cross_entropy", 1.0, CrossEntropy()),
                Weighted("similarity", similarity, lambda: Similarity(cohort.width)),
            ]
        )
"""


@pytest.fixture(autouse=True)
def in_a_folder_with_code(tmp_path, monkeypatch):
    (tmp_path / "mymethods.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "myterms.py").write_text(textwrap.dedent(TERM))
    (tmp_path / "diversity.py").write_text(textwrap.dedent(METHOD))
    (tmp_path / "broken.py").write_text("x = 1\ny = x / 0\n")
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("mymethods", "broken", "myterms", "diversity"):
        sys.modules.pop(name, None)


def test_a_term_and_a_method_are_a_file_each():
    """Each is used by its name on the command line; nothing in the package changes."""
    config, _ = parse(["digits", "--method", "diversity:diverse", "--similarity", "0.25", "--peers", "2"])
    config.check()
    cohort, labels = Cohort("resnet20", 3, peers=2), torch.arange(4) % 3
    method = methods.build(config.method, cohort, train_labels=labels, **config.options)
    loss = method(cohort(torch.rand(4, 3, 8, 8)), labels, torch.arange(4))
    loss.total.backward()
    assert method.weights["similarity"].weight == 0.25
    assert -0.25 <= loss.parts["similarity"].item() <= 0.25
    assert method.terms["similarity"].head.weight.grad.any()
    assert not methods.build(config.method, cohort, train_labels=labels, similarity=0.0).state_dict()


def test_options_are_those_of_the_signature():
    found = {option.name: option.default for option in methods.options_of("mymethods:plain")}
    assert found == {"labels": 0.5, "mode": "a", "k": 3}
    assert {option.name: option.annotation for option in methods.options_of("mymethods:plain")}["k"] is int
    assert str(methods.ranges_of_options("mymethods:plain")["labels"]) == "at least 0 and at most 1,000,000"


@pytest.mark.parametrize(("name", "options"), [("plain", {"labels": 2.0}), ("Own", {"labels": 2.0}), ("with_card", {})])
def test_build(name, options):
    cohort, labels = Cohort("resnet20", 3, peers=2), torch.arange(4) % 3
    method = methods.build(f"mymethods:{name}", cohort, train_labels=labels, **options)
    assert isinstance(method, Method)
    assert method.weights["labels"].weight == options.get("labels", 0.5)
    with pytest.raises(UserError, match="'label'"):
        methods.build(f"mymethods:{name}", cohort, train_labels=labels, label=1.0)


def test_the_card_in_the_module_is_used_or_else_a_default():
    assert methods.find("mymethods:with_card").sharings == ("tree",)
    default = methods.find("mymethods:plain")
    assert (default.sharings[0], default.cohort, default.needs_teacher) == ("branch", {}, False)
    offline = methods.find("mymethods:with_teacher")
    assert (offline.sharings, offline.cohort, offline.needs_teacher) == (("network",), {"peers": 1}, True)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "nomethods:plain",
            "method nomethods:plain: there is no module nomethods in the current folder",
        ),
        ("mymethods:absent", "method mymethods:absent: mymethods has no function 'absent'"),
        ("mymethods:number", "method mymethods:number: mymethods has no function 'number'"),
        (":plain", "method :plain: the name must have the form package.module:function"),
        ("mymethods:", "method mymethods:: the name must have the form package.module:function"),
        ("..mymethods:plain", "the name must have the form package.module:function"),
        ("broken:plain", r"broken can't be imported: ZeroDivisionError: division by zero \(.*broken.py, line 2\)"),
        ("mymethods:swapped", r"must take \(cohort, train_labels\) or .*, found \(train_labels\)"),
        ("mymethods:any_number", r"must take \(cohort, train_labels\) or .*, found \(\*args, \*\*options\)"),
        ("mymethods:without_star", r"after a '\*', found \(cohort, train_labels, temperature\)"),
        ("mymethods:no_default", "option 'labels' needs a default value"),
        ("mymethods:odd_type", "the type of option 'cohorts' must be int, .*, found tuple"),
        ("mymethods:unknown_type", "unknown type 'Wieght' of option 'weight' of unknown_type: import the type"),
        ("plain", "unknown method 'plain': choose from baseline, .*, package.module:function"),
    ],
)
def test_errors_are_one_sentence(name, sentence):
    with pytest.raises(UserError, match=sentence) as told:
        methods.find(name)
    assert "\n" not in str(told.value)
    assert not methods.is_known(name)


def test_a_function_must_return_a_method():
    with pytest.raises(UserError, match=r"mymethods:nothing must return a peerdistill.terms.Method, found a NoneType"):
        methods.build("mymethods:nothing", Cohort("resnet20", 3, peers=2), train_labels=torch.arange(3))

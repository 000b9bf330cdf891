"""The number of copies of each stage, for each sharing."""

import jaxtyping
import pytest
from torch import nn

from peerdistill import Cohort, backbones
from peerdistill.backbones import Backbone, Stage
from peerdistill.errors import UserError
from peerdistill.sharing import copies_per_stage

TREE = [1, 1, 2, 4, 4]


class TestCopiesPerStage:
    """resnet18 has the stages stem, layer1, layer2, layer3 and layer4."""

    BACKBONE = backbones.build("resnet18", classes=10)

    @pytest.mark.parametrize(
        ("sharing", "share_until", "expected"),
        [
            ("network", None, (4, 4, 4, 4, 4)),
            ("branch", None, (1, 1, 1, 4, 4)),
            ("branch", "stem", (1, 4, 4, 4, 4)),
            ("branch", "layer3", (1, 1, 1, 1, 4)),
            ("branch", "layer4", (1, 1, 1, 1, 1)),
            (TREE, None, (1, 1, 2, 4, 4)),
            ("tree", None, (1, 1, 1, 2, 4)),
            ("tree", "layer1", (1, 1, 2, 4, 4)),
            ("tree", "stem", (1, 2, 2, 4, 4)),
            ("tree", "layer3", (1, 1, 1, 1, 4)),
            ((2, 2, 2, 2, 4), None, (2, 2, 2, 2, 4)),
        ],
    )
    def test_counts(self, sharing, share_until, expected):
        assert copies_per_stage(self.BACKBONE, 4, sharing, share_until) == expected

    @pytest.mark.parametrize(
        ("sharing", "share_until", "message"),
        [
            ("branches", None, "unknown sharing 'branches': did you mean branch"),
            ("branch", "layer9", "unknown share_until of resnet18 'layer9': did you mean layer"),
            (
                "branch",
                "head",
                "unknown share_until of resnet18 'head': choose from stem, layer1, layer2, layer3, layer4",
            ),
            ("network", "layer1", "share_until='layer1' requires sharing branch or tree, found sharing 'network'"),
            (TREE, "layer1", "share_until='layer1' requires sharing branch or tree"),
            ([1, 2, 4], None, "has 3 counts but there are 5 stages: stem, layer1, layer2, layer3, layer4"),
            ([1, 1, 3, 3, 3], None, "cannot divide 4 peers into a tree"),
            ([1, 2, 1, 4, 4], None, "cannot divide 4 peers into a tree"),
            ([4, 4, 2, 2, 2], None, "cannot divide 4 peers into a tree"),
            ([1, 1, 1, 4, 8], None, "cannot divide 4 peers into a tree"),
            ([0, 1, 1, 4, 4], None, "cannot divide 4 peers into a tree"),
            ([-1, 1, 1, 4, 4], None, "cannot divide 4 peers into a tree"),
        ],
    )
    def test_errors(self, sharing, share_until, message):
        with pytest.raises(UserError, match=message):
            copies_per_stage(self.BACKBONE, 4, sharing, share_until)


@pytest.mark.parametrize(
    ("peers", "stages", "expected"),
    [
        (8, 2, (4, 8)),
        (8, 3, (2, 4, 8)),
        (6, 2, (3, 6)),
        (6, 3, (3, 6, 6)),
        (4, 4, (2, 2, 4, 4)),
        (3, 2, (3, 3)),
        (5, 1, (5,)),
        (2, 3, (2, 2, 2)),
    ],
)
def test_copies_of_a_tree(peers, stages, expected):
    backbone = backbones.build("resnet18", classes=10)
    shared = backbone.stages[-stages - 1].name
    assert copies_per_stage(backbone, peers, "tree", shared)[-stages:] == expected


@pytest.mark.parametrize(
    ("name", "early", "late"),
    [
        ("resnet32", "layer1", "layer2"),
        ("resnet110", "layer1", "layer2"),
        ("vgg16", "layer2", "layer3"),
        ("densenet40_12", "block1", "block2"),
        ("hcgnet_a1", "block1", "block2"),
        ("conv4", "block2", "block2"),
        ("resnet18", "layer2", "layer3"),
    ],
)
def test_branches_part_early_or_late(name, early, late):
    backbone = backbones.build(name, classes=10)
    stages = [stage.name for stage in backbone.stages]
    for branch_at, last in (("early", early), ("late", late)):
        expected = [1 if number <= stages.index(last) else 4 for number in range(len(stages))]
        assert [*copies_per_stage(backbone, 4, "branch", branch_at=branch_at)] == expected
    assert copies_per_stage(backbone, 4, "branch", stages[0], "late")[:2] == (1, 4)  # a named stage wins
    for sharing in ("network", "tree"):  # it has no effect there
        assert copies_per_stage(backbone, 4, sharing, branch_at="late") == copies_per_stage(backbone, 4, sharing)


@pytest.mark.parametrize(("share_until", "late"), [("a", "b"), ("b", "c"), ("c", "c"), ("d", "d")])
def test_late_is_the_next_stage_but_not_the_last(share_until, late):
    stages = tuple(Stage(name, (name,)) for name in "abcd")
    backbone = Backbone("own", nn.Identity, stages, "head", share_until)
    shared = copies_per_stage(backbone, 2, "branch", branch_at="late").count(1)
    assert stages[shared - 1].name == late


def test_unknown_branch_at(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # disables the shape checks of the tests
    with pytest.raises(UserError, match="unknown branch_at 'lately': did you mean late"):
        Cohort("resnet8", 5, branch_at="lately")

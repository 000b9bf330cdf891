"""Networks that are difficult to split, each for another reason: the stages compute the network's own forward pass."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from peerdistill import Cohort
from peerdistill.backbones.adapters.splitting import split
from peerdistill.errors import UserError

CLASSES = 5
SHAPE = (3, 16, 16)


def block(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class UsesTheMode(nn.Module):
    """Functional dropout and other code between blocks depends on ``self.training``, which tracing fixes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = block(3, 8), block(8, 16)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = F.dropout(self.first(x), 0.5, training=self.training)
        x = self.second(x) if self.training else self.second(x) + 1
        return self.fc(x.mean((2, 3)))


class HasTopLevelParameters(nn.Module):
    """Parameters and buffers outside submodules, as the class token of a vision transformer."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.register_buffer("scale", torch.tensor(0.5))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x, mask=None, causal=False):
        x = self.patches(x).flatten(2).transpose(1, 2) * self.scale
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        for layer in self.blocks:
            x = layer(x, src_mask=mask, is_causal=causal)
        return self.head(x[:, 0])


class HasSkipConnections(nn.Module):
    """A cut is possible only where no skip connection crosses it."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = block(3, 8), block(8, 8), block(8, 8), block(8, 8)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.a(x)
        y = self.b(x)
        return self.fc(self.d(self.c(y) + x).mean((2, 3)))


class CallsABlockTwice(nn.Module):
    """No cut is possible between two calls of the same weights."""

    def __init__(self):
        super().__init__()
        self.stem, self.again, self.top = block(3, 8), block(8, 8), block(8, 8)
        self.act = nn.ReLU()
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.again(self.act(self.stem(x)))
        return self.fc(self.act(self.top(self.again(x))).mean((2, 3)))


class PassesTuples(nn.Module):
    """Blocks that pass more than one tensor."""

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, both):
            x, y = both
            return self.conv(x), y + x

    def __init__(self):
        super().__init__()
        self.stem, self.pair, self.top = block(3, 8), self.Pair(), block(8, 8)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        x, y = self.pair((x, x))
        return self.fc(self.top(x + y).mean((2, 3)))


class DependsOnValues(nn.Module):
    """Control flow that cannot be traced."""

    def __init__(self):
        super().__init__()
        self.body = block(3, 8)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.body(x)
        return self.fc(x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3)))


# Stage names of each network.
SPLITTABLE = {
    UsesTheMode: ["first", "second"],
    HasTopLevelParameters: ["patches", "blocks.0", "blocks.1", "blocks.2"],
    HasSkipConnections: ["a", "d"],
    CallsABlockTwice: ["stem", "again", "top"],
    PassesTuples: ["stem", "top"],
}


def backbone_of(network, classifier=None):
    return split(network.__name__, network, classifier, SHAPE)


def by_stages(backbone, network, x):
    for stage in backbone.stages:
        x = stage(network, x)
    return network.get_submodule(backbone.classifier)(x.flatten(1))


@pytest.mark.parametrize("network", [*SPLITTABLE, DependsOnValues])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_stages_and_classifier_compute_the_networks_forward_pass(network, training):
    backbone = backbone_of(network)
    stock = network().train(training)
    staged = deepcopy(stock)
    images = torch.randn(4, *SHAPE)
    for _ in range(2):  # the second time with other running statistics
        torch.manual_seed(0)
        expected = stock(images)
        torch.manual_seed(0)
        assert torch.equal(by_stages(backbone, staged, images), expected)
    for after, expected_after in zip(staged.state_dict().values(), stock.state_dict().values(), strict=True):
        assert torch.equal(after, expected_after)


@pytest.mark.parametrize(("network", "stages"), SPLITTABLE.items())
def test_cuts_pass_one_tensor_and_use_no_weights_on_both_sides(network, stages):
    backbone = backbone_of(network)
    assert [stage.name for stage in backbone.stages] == stages
    assert backbone.unsplittable is None


@pytest.mark.parametrize("network", SPLITTABLE)
def test_stages_and_classifier_hold_every_parameter_and_buffer_once(network):
    backbone, made = backbone_of(network), network()
    held = []
    for path in [path for stage in backbone.stages for path in stage.modules] + [backbone.classifier]:
        parent, _, attribute = path.rpartition(".")
        found = getattr(made.get_submodule(parent), attribute)
        held += [*found.parameters(), *found.buffers()] if isinstance(found, nn.Module) else [found]
    assert len({id(tensor) for tensor in held}) == len(held)
    assert {id(tensor) for tensor in held} == {id(tensor) for tensor in made.state_dict(keep_vars=True).values()}


# In training mode each peer draws its own dropout masks.
WITH_DROPOUT = (UsesTheMode, HasTopLevelParameters)


@pytest.mark.parametrize(
    ("network", "training"),
    [(network, mode) for network in SPLITTABLE for mode in (False, True) if not (mode and network in WITH_DROPOUT)],
)
def test_branches_agree_with_their_networks_run_separately(network, training):
    cohort = Cohort(backbone_of(network), CLASSES, peers=3, sharing="branch").train(training)
    alone = [deepcopy(peer) for peer in cohort.networks]
    images = torch.randn(4, *SHAPE)
    out = cohort(images)
    for logits, peer in zip(out.logits, alone, strict=True):
        torch.testing.assert_close(logits, peer(images))


def test_a_token_is_shared_with_its_stage():
    cohort = Cohort(backbone_of(HasTopLevelParameters), CLASSES, peers=2, sharing="branch")
    first, second = cohort.networks
    assert first.token is second.token
    assert first.scale is second.scale
    assert first.blocks[0] is second.blocks[0]
    assert first.blocks[1] is not second.blocks[1]
    apart = Cohort(backbone_of(HasTopLevelParameters), CLASSES, peers=2, sharing="branch", share_until="patches")
    assert apart.networks[0].token is not apart.networks[1].token


def test_a_branch_may_change_its_input_in_place():
    class WritesFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.act, self.top = nn.Conv2d(3, 8, 3), nn.Hardswish(inplace=True), nn.Conv2d(8, 8, 3)
            self.fc = nn.Linear(8, CLASSES)

        def forward(self, x):
            return self.fc(self.top(self.act(self.stem(x))).mean((2, 3)))

    class WritesFirstInItsStage(WritesFirst):
        def __init__(self):
            super().__init__()
            self.top = nn.Sequential(nn.Hardswish(inplace=True), nn.Conv2d(8, 8, 3))
            self.act = nn.Identity()

        def forward(self, x):
            x = self.stem(x)
            return self.fc(F.hardswish(x, inplace=True).mean((2, 3)) + self.top(x).mean((2, 3)))

    for network in (WritesFirst, WritesFirstInItsStage):
        cohort = Cohort(backbone_of(network), CLASSES, peers=3, sharing="branch")
        images = torch.randn(2, *SHAPE)
        alone = torch.stack([peer(images) for peer in cohort.networks])
        for _ in range(3):
            torch.testing.assert_close(cohort(images).logits, alone)
        with torch.inference_mode():
            torch.testing.assert_close(cohort(images).logits, alone)
        cohort(images).logits.sum().backward()


@pytest.mark.parametrize(("name", "share"), [("share_until", 1 / 2), ("share_until_late", 3 / 4)])
def test_peers_part_where_a_share_of_the_forward_cost_is_spent(name, share):
    class FiveLayers(nn.Sequential):
        """3 x 9 x w, then 9 x w x w multiply-adds per pixel and layer."""

        def __init__(self, width=16):
            layers = [nn.Conv2d(3, width, 3, padding=1), *(nn.Conv2d(width, width, 3, padding=1) for _ in range(5))]
            super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))

    spent = [27 * 16 + number * 9 * 16 * 16 for number in range(6)]
    nearest = min(range(6), key=lambda number: abs(spent[number] - share * spent[-1]))
    assert getattr(backbone_of(FiveLayers), name) == str(nearest)


class TestUnsplittable:
    def test_trains_as_whole_networks(self):
        cohort = Cohort(backbone_of(DependsOnValues), CLASSES, peers=2, sharing="network")
        images = torch.randn(2, *SHAPE)
        out = cohort(images)
        assert out.features.shape == (2, 2, 8)
        torch.testing.assert_close(out.logits, torch.stack([peer(images) for peer in cohort.networks]))
        out.logits.square().sum().backward()
        assert all(parameter.grad is not None for parameter in cohort.parameters())

    @pytest.mark.parametrize("sharing", ["branch", "tree", [1]])
    def test_can_share_no_stage_and_the_error_says_why(self, sharing):
        with pytest.raises(UserError, match=r"sharing must be network for DependsOnValues, found .*: .* control flow"):
            Cohort(backbone_of(DependsOnValues), CLASSES, sharing=sharing)


def sequence(*modules):
    return lambda: nn.Sequential(*modules)


@pytest.mark.parametrize(
    ("make", "classifier", "message"),
    [
        (sequence(nn.Conv2d(3, 5, 16), nn.Flatten()), None, "no linear layer to use as the classifier"),
        (sequence(nn.Flatten(), nn.Linear(768, 5)), "head", "no module 'head' to use as the classifier"),
        (
            sequence(nn.Conv2d(3, 5, 16), nn.Flatten()),
            "0",
            "a linear layer as the classifier, but '0' is of type Conv2d",
        ),
        (sequence(nn.Flatten(), nn.Linear(768, 5), nn.ReLU()), None, "its classifier '1' does not return its logits"),
        (sequence(nn.Flatten(), nn.Linear(9, 5)), None, "does not accept images of 3 x 16 x 16: .*768"),
    ],
)
def test_networks_that_cannot_be_peers_are_refused(make, classifier, message):
    with pytest.raises(UserError, match=f"backbone thing .*{message}"):
        split("thing", make, classifier, SHAPE)


def test_a_named_classifier_takes_precedence_over_the_last_linear_layer():
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Flatten()
            self.fc = nn.Linear(768, CLASSES)
            self.unused = nn.Linear(768, 2)

        def forward(self, x):
            return self.fc(self.body(x))

    assert backbone_of(TwoHeads, "fc").classifier == "fc"
    with pytest.raises(UserError, match="the network's forward pass does not call the classifier 'unused'"):
        backbone_of(TwoHeads)


def test_splitting_leaves_the_random_state_unchanged():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    backbone_of(DependsOnValues)
    backbone_of(HasSkipConnections)
    assert torch.equal(torch.rand(3), expected)

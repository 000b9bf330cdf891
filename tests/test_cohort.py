import io
from collections import OrderedDict
from itertools import combinations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from peerdistill import Cohort, backbones
from peerdistill.backbones import Backbone, Stage
from peerdistill.backbones.adapters.splitting import split
from peerdistill.cohort import pooled
from peerdistill.errors import UserError

TREE = [1, 1, 2, 4, 4]
SHARINGS = ["network", "branch", TREE]


def own_network():
    layers = {
        "entry": nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()),
        "middle": nn.Conv2d(6, 8, 3),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "head": nn.Linear(8, 3),
    }
    return nn.Sequential(OrderedDict(layers))


OWN = Backbone(
    name="own",
    network=own_network,
    stages=(Stage("entry", ("entry",)), Stage("body", ("middle", "pool"))),
    classifier="head",
    share_until="entry",
)


def small(sharing="branch", peers=4, **options):
    return Cohort("resnet8", classes=5, peers=peers, sharing=sharing, **options)


def parameter_count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("peers", [0, -2])
def test_a_cohort_needs_a_peer(peers):
    with pytest.raises(UserError, match=f"peers must be at least 1, found {peers}"):
        small(peers=peers)


def test_shapes():
    cohort = small(peers=3)
    out = cohort(torch.randn(2, 3, 16, 16))
    assert out.logits.shape == (3, 2, 5)
    assert out.features.shape == (3, 2, cohort.width)
    assert cohort.width == 64


@pytest.mark.parametrize("sharing", ["network", "branch", [1, 2, 4, 4]])
def test_peers_start_from_different_weights(sharing):
    cohort = small(sharing)
    for one, other in combinations(cohort.networks, 2):
        differ = [
            not torch.equal(p, q) for p, q in zip(one.layer3.parameters(), other.layer3.parameters(), strict=True)
        ]
        assert any(differ)
        assert not torch.equal(one.fc.weight, other.fc.weight)


def test_shared_stages_are_the_same_objects():
    cohort = small([1, 2, 4, 4])
    first, second, third, fourth = cohort.networks
    assert first.stem is second.stem is third.stem is fourth.stem
    assert first.layer1 is second.layer1
    assert third.layer1 is fourth.layer1
    assert first.layer1 is not third.layer1
    assert len({network.layer2 for network in cohort.networks}) == 4


def test_a_shared_stage_counts_once():
    alone = own_network()
    entry, all_of_it = parameter_count(alone.entry), parameter_count(alone)
    assert parameter_count(Cohort(OWN, classes=3, peers=5, sharing="network")) == 5 * all_of_it
    assert parameter_count(Cohort(OWN, classes=3, peers=5)) == entry + 5 * (all_of_it - entry)


@pytest.mark.parametrize(("sharing", "copies"), [("branch", 1), ([2, 4, 4, 4], 2), ("network", 4)])
def test_each_copy_runs_once_per_batch(sharing, copies):
    cohort = small(sharing)
    stems = list({network.stem: None for network in cohort.networks})
    ran = []
    for stem in stems:
        stem.register_forward_hook(lambda *_: ran.append(1))
    cohort(torch.randn(4, 3, 8, 8))
    assert len(stems) == len(ran) == copies
    assert [stem[1].num_batches_tracked.item() for stem in stems] == [1] * copies


def test_running_statistics_of_the_shared_stem_are_updated_once():
    cohort = small("branch")
    stem = cohort.networks[0].stem
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        mean = stem[0](images).mean((0, 2, 3))
    cohort(images)
    torch.testing.assert_close(stem[1].running_mean, 0.1 * mean)  # from 0, with BatchNorm's momentum of 0.1


@pytest.mark.parametrize("sharing", ["network", "branch", [1, 2, 4, 4], [2, 2, 2, 4], [1, 1, 1, 1]])
def test_each_peer_gives_the_same_logits_alone(sharing):
    cohort = small(sharing)
    cohort(torch.randn(8, 3, 16, 16))  # update the running statistics
    cohort.eval()
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        logits = cohort(images).logits
        for peer in range(4):
            assert torch.equal(logits[peer], cohort.peer(peer)(images))


@pytest.mark.parametrize(
    ("sharing", "last_shared"), [("branch", "layer1"), ([1, 2, 4, 4], "stem"), ([1, 1, 1, 1], "layer3")]
)
def test_stem_is_the_output_of_the_last_shared_stage(sharing, last_shared):
    cohort = small(sharing).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        stem = cohort(images).stem
        expected, leader = images, cohort.leader()
        for stage in cohort.backbone.stages:
            expected = stage(leader, expected)
            if stage.name == last_shared:
                break
    assert torch.equal(stem, expected)


def test_stem_is_the_images_if_no_stage_is_shared():
    images = torch.randn(2, 3, 16, 16)
    assert small("network")(images).stem is images


@pytest.mark.parametrize("sharing", SHARINGS, ids=str)
def test_leader_loads_into_torchvision(sharing):
    cohort = Cohort("resnet18", classes=7, peers=4, sharing=sharing)
    with torch.no_grad():
        cohort(torch.randn(4, 3, 32, 32))
        leader = cohort.leader()
        stock = models.resnet18(num_classes=7).eval()
        stock.load_state_dict(leader.state_dict(), strict=True)
        images = torch.randn(2, 3, 64, 64)
        expected = stock(images)
        assert torch.equal(leader(images), expected)
        assert torch.equal(cohort.eval()(images).logits[-1], expected)


def test_leader_is_the_last_peer_in_evaluation_mode():
    cohort = small().train()
    leader = cohort.leader()
    assert not any(module.training for module in leader.modules())
    assert all(module.training for module in cohort.modules())
    assert torch.equal(leader.fc.weight, cohort.networks[-1].fc.weight)


def test_leader_is_a_copy():
    cohort = small()
    before = {name: tensor.clone() for name, tensor in cohort.state_dict().items()}
    leader = cohort.leader()
    with torch.no_grad():
        for tensor in leader.state_dict().values():
            tensor.add_(1)
    for name, tensor in cohort.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("sharing", ["network", "branch", [1, 2, 4, 4]], ids=str)
def test_a_single_network_is_a_cohort_of_one_peer(sharing):
    cohort = small(sharing).eval()
    network, before = cohort.peer(1), torch.get_rng_state()
    single = cohort.single(network).eval()
    assert torch.equal(torch.get_rng_state(), before)
    assert single.networks[0] is network
    images = torch.randn(3, 3, 32, 32)
    found, expected = single(images), cohort(images)
    assert torch.equal(found.logits[0], expected.logits[1])
    assert torch.equal(found.features[0], expected.features[1])
    assert found.logits.shape == (1, 3, 5)


@pytest.mark.parametrize("index", [-1, 4])
def test_peer_index_out_of_range(index):
    with pytest.raises(UserError, match=f"peer index must be from 0 to 3, found {index}"):
        small().peer(index)


@pytest.mark.parametrize("sharing", ["network", "branch", [1, 2]])
def test_own_backbone(sharing):
    cohort = Cohort(OWN, classes=3, peers=2, sharing=sharing, in_channels=2)
    cohort(torch.randn(4, 2, 9, 9))
    cohort.eval()
    images = torch.randn(4, 2, 9, 9)
    stock = own_network().eval()
    stock.load_state_dict(cohort.leader().state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(cohort(images).logits[-1], stock(images))


def test_branches_may_modify_their_input_in_place():
    """All branches read the same stem output, so an in-place change by one must not affect the others."""

    def network():
        layers = {
            "entry": nn.Conv2d(2, 8, 3),
            "act": nn.ELU(inplace=True),
            "pool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            "head": nn.Linear(8, 3),
        }
        return nn.Sequential(OrderedDict(layers))

    stages = (Stage("entry", ("entry",)), Stage("act", ("act", "pool")))
    cohort = Cohort(Backbone("in_place", network, stages, "head", "entry"), classes=3, peers=3).eval()
    images = torch.randn(4, 2, 9, 9)
    with torch.no_grad():
        logits = cohort(images).logits
        for peer in range(3):
            assert torch.equal(logits[peer], cohort.peer(peer)(images))


@pytest.mark.parametrize("sharing", ["network", "branch", [1, 2, 4, 4]])
def test_state_dict_restores_a_cohort_with_its_sharing(sharing):
    cohort = small(sharing)
    cohort(torch.randn(8, 3, 16, 16))
    file = io.BytesIO()
    torch.save(cohort.state_dict(), file)
    file.seek(0)
    other = small(sharing)
    other.load_state_dict(torch.load(file, weights_only=True))
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(other.eval()(images).logits, cohort.eval()(images).logits)
    assert parameter_count(other) == parameter_count(cohort)
    assert [network.stem is other.networks[0].stem for network in other.networks] == [
        network.stem is cohort.networks[0].stem for network in cohort.networks
    ]
    # The file contains a shared tensor once.
    tensors = {tensor.data_ptr(): tensor.nbytes for tensor in cohort.state_dict().values()}
    assert len(file.getvalue()) < 1.3 * sum(tensors.values()) + 500_000


def test_the_stem_gets_the_gradients_of_all_branches():
    cohort = small("branch", peers=2).eval()
    images = torch.randn(2, 3, 16, 16)
    stem = cohort.networks[0].stem[0].weight

    def gradient(select):
        return torch.autograd.grad(select(cohort(images).logits).sum(), stem)[0]

    both = gradient(lambda logits: logits)
    torch.testing.assert_close(both, gradient(lambda logits: logits[0]) + gradient(lambda logits: logits[1]))


def test_the_mean_of_gradients_is_the_sum_divided_by_the_number_of_children():
    """Copies 1, 2, 4: stem and middle stages have 2 children each, which halves a gradient once and twice."""
    images = torch.randn(2, 3, 16, 16)
    gradients = {}
    for rule in ("sum", "mean"):
        torch.manual_seed(0)
        cohort = small("tree", split_gradients=rule).eval()
        cohort(images).logits.square().sum().backward()
        layers = {"stem": "stem.0.weight", "middle": "layer2.0.body.0.weight", "top": "layer3.0.body.0.weight"}
        gradients[rule] = {name: cohort.networks[0].get_parameter(at).grad.clone() for name, at in layers.items()}
        gradients[rule]["classifier"] = cohort.networks[0].fc.weight.grad.clone()
    for name, share in {"stem": 1 / 4, "middle": 1 / 2, "top": 1.0, "classifier": 1.0}.items():
        torch.testing.assert_close(gradients["mean"][name], share * gradients["sum"][name], msg=name)


def test_classifiers_are_the_children_of_a_fully_shared_backbone():
    images = torch.randn(2, 3, 16, 16)
    gradients = []
    for rule in ("sum", "mean"):
        torch.manual_seed(0)
        cohort = small([1, 1, 1, 1], split_gradients=rule).eval()
        cohort(images).logits.square().sum().backward()
        gradients.append(cohort.networks[0].layer3[0].body[0].weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0] / 4)


@pytest.mark.parametrize(
    ("name", "sharing", "channels"),
    [
        ("resnet20", "branch", 16),
        ("vgg16", "branch", 256),
        ("densenet40_12", "branch", 48),
        ("resnet18", "branch", 128),
    ],
)
def test_stem_channels(name, sharing, channels):
    cohort = Cohort(name, classes=5, peers=2, sharing=sharing).eval()
    assert cohort.stem_channels == channels
    with torch.no_grad():
        assert cohort(torch.randn(1, 3, 32, 32)).stem.shape[1] == channels


def test_ensemble_is_the_mean_of_the_logits():
    with torch.no_grad():
        out = small().eval()(torch.randn(2, 3, 16, 16))
    torch.testing.assert_close(out.ensemble, out.logits.mean(0))


class TestPeersOfDifferentBackbones:
    def cohort(self, **options):
        return Cohort("resnet20", 5, peers=3, sharing="network", peer_backbones=["vgg8", "resnet32"], **options)

    def test_each_peer_has_its_backbone_and_the_leader_is_the_last(self):
        cohort = self.cohort().eval()
        images = torch.randn(2, 3, 32, 32)
        out = cohort(images)
        assert [backbone.name for backbone in cohort.backbones] == ["vgg8", "resnet32", "resnet20"]
        torch.testing.assert_close(out.logits, torch.stack([network(images) for network in cohort.networks]))
        backbones.build("resnet20", classes=5).network().load_state_dict(cohort.leader().state_dict(), strict=True)

    def test_features_are_one_tensor_per_peer_if_widths_differ(self):
        cohort = self.cohort()
        out = cohort(torch.randn(2, 3, 32, 32))
        assert cohort.widths == (512, 64, 64)
        assert [tuple(features.shape) for features in out.features] == [(2, 512), (2, 64), (2, 64)]

    @pytest.mark.parametrize("sharing", ["branch", "tree", [1, 3, 3, 3]])
    def test_they_cannot_share_stages(self, sharing):
        with pytest.raises(UserError, match="different backbones can't share stages: sharing must be network"):
            Cohort("resnet20", 5, peers=2, sharing=sharing, peer_backbones=["vgg8"])

    def test_number_of_backbones(self):
        with pytest.raises(UserError, match=r"peer_backbones lists 1 backbone, .* so peers must be 2, found 4"):
            Cohort("resnet20", 5, sharing="network", peer_backbones=["vgg8"])


@pytest.mark.parametrize("shape", [(2, 6, 4, 4), (2, 16, 6), (2, 4, 4, 6)], ids=["channels first", "tokens", "last"])
def test_pooled_is_the_mean_over_positions(shape):
    stem = torch.randn(shape)
    channels = shape.index(6)
    places = [axis for axis in range(1, len(shape)) if axis != channels]
    torch.testing.assert_close(pooled(stem), stem.mean(places))


def test_encoder_is_the_leader_without_its_classifier():
    cohort = small().eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(cohort.encoder()(images), cohort(images).features[-1])
    left_out = cohort.leader().state_dict().keys() - cohort.encoder().state_dict().keys()
    assert left_out == {"fc.weight", "fc.bias"}
    assert not cohort.encoder().training


class TestFreezeUntil:
    """Stages that do not learn."""

    def step(self, cohort):
        """One large step of all parameters that have a gradient."""
        cohort.train()
        cohort(torch.randn(4, *cohort.backbone.image_shape)).logits.square().sum().backward()
        with torch.no_grad():
            for parameter in cohort.parameters():
                if parameter.grad is not None:
                    parameter -= parameter.grad.sign()

    def state(self, cohort):
        return {name: tensor.clone() for name, tensor in cohort.state_dict().items()}

    @pytest.mark.parametrize(
        ("name", "stage", "frozen"),
        [
            ("resnet8", "stem", ("stem.",)),
            ("resnet8", "layer2", ("stem.", "layer1.", "layer2.")),
            ("timm:test_efficientnet", "blocks.1", ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")),
            ("timm:vit_tiny_patch16_224", "blocks.0", ("cls_token", "pos_embed", "patch_embed.", "blocks.0.")),
        ],
    )
    @pytest.mark.parametrize("sharing", ["network", "branch"])
    def test_frozen_weights_and_buffers_are_unchanged_and_all_others_learn(self, name, stage, frozen, sharing):
        torch.manual_seed(0)
        cohort = Cohort(name, classes=5, peers=3, sharing=sharing, image_size=32, freeze_until=stage)
        before = self.state(cohort)
        self.step(cohort)
        after = self.state(cohort)
        for peer in range(3):
            prefix = f"networks.{peer}."
            names = [one.removeprefix(prefix) for one in before if one.startswith(prefix)]
            unchanged = {one for one in names if torch.equal(before[prefix + one], after[prefix + one])}
            assert unchanged == {one for one in names if one.startswith(frozen)}

    def test_frozen_stages_run_once_and_as_in_evaluation(self):
        """Dropout and batch normalisation outside blocks, which a trace fixes, included."""

        class Dropping(nn.Sequential):
            def forward(self, x):
                x = F.dropout(self.norm(self.stem(x)), 0.5, self.training)
                return self.head(self.top(x).mean((2, 3)))

        def network():
            parts = {"stem": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "top": nn.Conv2d(4, 8, 3)}
            return Dropping(OrderedDict(parts, head=nn.Linear(8, 5)))

        backbone = split("own", network, None, (3, 8, 8))
        frozen, *rest = [stage.name for stage in backbone.stages]
        assert rest
        cohort = Cohort(backbone, 5, peers=2, sharing="network", freeze_until=frozen)
        images = torch.randn(4, 3, 8, 8)
        leader = cohort.leader()
        assert torch.equal(cohort.train()(images).stem, leader.norm(leader.stem(images)))

    @pytest.mark.parametrize("name", ["resnet8", "timm:test_efficientnet"])
    def test_with_the_last_stage_only_classifiers_learn(self, name):
        backbone = backbones.build(name, classes=5, image_size=64)
        cohort = Cohort(backbone, 5, peers=2, sharing="network", freeze_until=backbone.stages[-1].name)
        before = self.state(cohort)
        self.step(cohort)
        changed = {name for name, tensor in self.state(cohort).items() if not torch.equal(tensor, before[name])}
        expected = {f"networks.{peer}.{backbone.classifier}.{kind}" for peer in (0, 1) for kind in ("weight", "bias")}
        assert changed == expected
        cohort.eval()
        images = torch.randn(2, *backbone.image_shape)
        expected = cohort(images).features
        assert torch.equal(cohort.train()(images).features, expected)

    def test_a_network_without_stages_can_be_frozen_as_a_whole(self):
        class DependsOnValues(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

            def forward(self, x):
                x = self.norm(self.body(x))
                return self.head((x if x.sum() > 0 else -x).mean((2, 3)))

        backbone = split("own", DependsOnValues, None, (3, 8, 8))
        assert backbone.unsplittable
        cohort = Cohort(backbone, 5, peers=2, sharing="network", freeze_until="network")
        before = self.state(cohort)
        self.step(cohort)
        changed = {name for name, tensor in self.state(cohort).items() if not torch.equal(tensor, before[name])}
        assert {name.split(".")[2] for name in changed} == {"head"}

    def test_peers_with_different_backbones_freeze_their_own_stages(self):
        cohort = Cohort("resnet8", 5, 2, "network", peer_backbones=["resnet20"], freeze_until="layer1")
        before = self.state(cohort)
        self.step(cohort)
        after = self.state(cohort)
        for name, tensor in before.items():
            stage = name.split(".")[2]
            assert torch.equal(after[name], tensor) == (stage in ("stem", "layer1"))

    def test_no_gradient_reaches_a_frozen_stage_and_the_backward_pass_ends_there(self):
        cohort = small("network", peers=2, freeze_until="layer1")
        out = cohort(torch.randn(2, 3, 16, 16))
        assert cohort.copies == (1, 1, 2, 2)
        assert not out.stem.requires_grad
        assert out.logits.requires_grad

    def test_the_leader_is_the_stock_network_and_can_learn(self):
        cohort = small(freeze_until="layer2")
        leader = cohort.leader()
        assert parameter_count(leader) == parameter_count(backbones.build("resnet8", classes=5).network())
        assert all(parameter.requires_grad for parameter in leader.parameters())
        assert not next(cohort.networks[-1].parameters()).requires_grad

    def test_an_unknown_stage_is_one_sentence_with_the_stages(self):
        message = "resnet8 has no stage 'layer9': its stages are stem, layer1, layer2, layer3"
        with pytest.raises(UserError, match=message):
            small(freeze_until="layer9")

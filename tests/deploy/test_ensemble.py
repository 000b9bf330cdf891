"""The ensemble as one network, in every format that can hold it."""

from dataclasses import replace

import onnx
import pytest
import torch
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.backbones import Backbone, Stage
from peerdistill.deploy import export, open_scorer
from peerdistill.deploy.ensemble import EnsembleNetwork
from peerdistill.deploy.formats import FORMATS
from peerdistill.errors import UserError
from peerdistill.fewshot.prototypical import nearness

PEERS = 2
METHODS = {"mean": ("dml", "network"), "gate": ("one", "branch"), "classifier": ("pcl", "branch")}


def tiny() -> nn.Module:
    def block(channels: int, width: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))

    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(block(1, 8), block(8, 8), pool, nn.Linear(8, 10))


TINY = Backbone("tiny", tiny, (Stage("stem", ("0",)), Stage("top", ("1", "2"))), "3", share_until="stem")


@pytest.fixture(scope="module")
def card_of_ensemble(card):
    return replace(card, what="ensemble", method="one", peers=PEERS)


def trained(method, sharing, digits):
    """Return a cohort and the ensemble of a method, with statistics as after training."""
    torch.manual_seed(0)
    cohort = Cohort(replace(TINY, image_shape=(1, 8, 8)), 10, PEERS, sharing)
    ensemble = methods.build_ensemble(method, cohort)
    for module in (cohort, ensemble):
        module.train()
    with torch.no_grad():
        for batch in digits[:60].split(20):
            ensemble(cohort(batch / 255))
    return cohort.eval(), ensemble.eval()


def expected_logits(cohort, ensemble, digits, card):
    images = (digits / 255 - torch.tensor(card.mean)) / torch.tensor(card.std)
    with torch.no_grad():
        return ensemble(cohort(images))


@pytest.mark.parametrize("kind", METHODS)
def test_an_onnx_file_gives_the_logits_of_the_ensemble_and_runs_shared_stages_once(
    kind, digits, card_of_ensemble, tmp_path
):
    method, sharing = METHODS[kind]
    cohort, ensemble = trained(method, sharing, digits)
    file = tmp_path / "ensemble.onnx"
    export(EnsembleNetwork(cohort, ensemble), card_of_ensemble, file, format="onnx", pictures=digits)
    score, card = open_scorer(file)
    expected = expected_logits(cohort, ensemble, digits, card)
    assert (card.what, card.method, card.peers) == ("ensemble", "one", PEERS)
    torch.testing.assert_close(torch.from_numpy(score((digits / 255).numpy())), expected, rtol=1e-4, atol=1e-4)
    graph = onnx.load(file).graph
    assert [output.name for output in graph.output] == ["logits"]
    weights = [tensor for tensor in graph.initializer if list(tensor.dims)[2:] == [3, 3]]
    stems = 1 if sharing == "branch" else PEERS
    assert sum(node.op_type == "Conv" for node in graph.node) == len(weights) == stems + PEERS


def test_a_pt2_file_gives_the_logits_of_the_ensemble(digits, card_of_ensemble, tmp_path):
    cohort, ensemble = trained("one", "branch", digits)
    file = tmp_path / "ensemble.pt2"
    report = export(EnsembleNetwork(cohort, ensemble), card_of_ensemble, file, format="pt2", pictures=digits)
    assert report.largest_difference < 1e-4


def test_an_int8_file_keeps_the_classifier_of_every_peer_in_float(digits, card_of_ensemble, tmp_path):
    cohort, ensemble = trained("one", "branch", digits)
    file = tmp_path / "ensemble.int8.onnx"
    network = EnsembleNetwork(cohort, ensemble)
    report = export(network, card_of_ensemble, file, format="int8", pictures=digits, calibration=digits)
    assert report.agreement > 0.9
    graph = onnx.load(file).graph
    made_by = {output: node for node in graph.node for output in node.output}
    final = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    assert len(final) == PEERS + 1  # the gate too
    assert not [node for node in final if made_by[node.input[0]].op_type == "DequantizeLinear"]


@pytest.mark.parametrize("format", [name for name, format in FORMATS.items() if format.stock])
def test_formats_of_stock_networks_refuse_an_ensemble(format, digits, card_of_ensemble, tmp_path):
    file = tmp_path / FORMATS[format].default_name_of("ensemble")
    with pytest.raises(UserError, match=f"{format} holds one stock network, and an ensemble is not one: choose onnx"):
        export(
            EnsembleNetwork(*trained("one", "branch", digits)), card_of_ensemble, file, format=format, pictures=digits
        )
    assert not list(tmp_path.iterdir())


def test_without_ensemble_it_is_the_encoder_whose_distances_are_the_sums_of_the_peers(digits):
    cohort, _ = trained("dml", "branch", digits)
    images = digits[:12] / 255
    features = EnsembleNetwork(cohort, None)(images)
    support, query = features[:4], features[4:]
    of_peers = torch.stack([nearness(one[4:], one[:4]) for one in cohort(images).features])
    torch.testing.assert_close(nearness(query, support), PEERS * of_peers.mean(0), rtol=1e-4, atol=1e-3)

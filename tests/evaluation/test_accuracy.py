from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from torch import nn

from peerdistill import CohortOutput, UserError
from peerdistill.evaluation import evaluate
from peerdistill.terms import MeanEnsemble

PEERS = 3


class Recited(nn.Module):
    """A cohort whose images are the logits themselves, (batch, peers, 1, classes)."""

    def __init__(self):
        super().__init__()
        self.child = nn.Dropout()
        self.modes = []

    def forward(self, images):
        self.modes.append((self.training, self.child.training))
        logits = images.squeeze(2).transpose(0, 1)
        return CohortOutput(logits, logits, images, logits.mean(0))


class Watched(nn.Module):
    """An ensemble of the second peer that remembers how it was called."""

    def __init__(self):
        super().__init__()
        self.modes = []
        self.graphs = []

    def forward(self, out):
        self.modes.append(self.training)
        logits = out.logits[1] * 1
        self.graphs.append(logits.requires_grad)
        return logits


def batches(classes, sizes=(7, 1, 13), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        SimpleNamespace(
            images=torch.randn(size, PEERS, 1, classes, generator=generator),
            labels=torch.randint(classes, (size,), generator=generator),
        )
        for size in sizes
    ]


def sklearns_percent(given, voter, classes, top_k):
    scores = torch.cat([voter(Recited()(batch.images)) for batch in given]).double().numpy()
    labels = torch.cat([batch.labels for batch in given]).numpy()
    if top_k == classes:
        return 100
    if top_k == 1:
        return 100 * accuracy_score(labels, scores.argmax(axis=1))
    return 100 * top_k_accuracy_score(labels, scores, k=top_k, labels=range(classes))


@pytest.mark.parametrize("classes", [2, 5, 11])
def test_is_what_sklearn_says(classes):
    given = batches(classes)
    evaluation = evaluate(Recited(), MeanEnsemble(), given)
    voters = [lambda out, peer=peer: out.logits[peer] for peer in range(PEERS)] + [MeanEnsemble()]
    for accuracy, voter in zip((*evaluation.peers, evaluation.ensemble), voters, strict=True):
        assert accuracy.top1 == pytest.approx(sklearns_percent(given, voter, classes, 1), rel=1e-6)
        if classes > 5:
            assert accuracy.top5 == pytest.approx(sklearns_percent(given, voter, classes, 5), rel=1e-6)
    assert evaluation.samples == 21
    assert evaluation.leader == evaluation.peers[-1]


def test_ensemble_is_the_methods_own():
    evaluation = evaluate(Recited(), Watched(), batches(6))
    assert evaluation.ensemble == evaluation.peers[1]


@pytest.mark.parametrize("classes", [4, 5])
def test_no_top5_for_up_to_five_classes_where_it_is_always_100_percent(classes):
    evaluation = evaluate(Recited(), MeanEnsemble(), batches(classes))
    assert evaluation.leader.top5 is None
    assert list(evaluation.as_dict()["leader"]) == ["top1"]


def test_as_dict_is_what_goes_into_json():
    evaluation = evaluate(Recited(), MeanEnsemble(), batches(6))
    told = evaluation.as_dict()
    assert list(told) == ["samples", "peers", "leader", "ensemble"]
    assert told["samples"] == 21
    assert told["peers"] == [{"top1": peer.top1, "top5": peer.top5} for peer in evaluation.peers]
    assert told["leader"] == told["peers"][-1]


@pytest.mark.parametrize("training", [True, False])
def test_runs_in_evaluation_mode_and_restores_the_cohorts(training):
    cohort = Recited().train(training)
    evaluate(cohort, MeanEnsemble(), batches(5))
    assert cohort.modes == [(False, False)] * 3
    assert cohort.training is training
    assert cohort.child.training is training


def test_mode_is_restored_when_a_batch_fails():
    cohort = Recited().train()

    def failing():
        yield batches(5)[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        evaluate(cohort, MeanEnsemble(), failing())
    assert cohort.training


def test_keeps_no_graph():
    given, ensemble = batches(5), Watched()
    for batch in given:
        batch.images.requires_grad_()
    evaluate(Recited(), ensemble, given)
    assert ensemble.graphs == [False] * 3


def test_the_ensemble_is_in_evaluation_mode_too():
    ensemble = Watched().train()
    evaluate(Recited(), ensemble, batches(5))
    assert ensemble.modes == [False] * 3
    assert ensemble.training


def test_nothing_to_evaluate_on():
    cohort = Recited().train()
    with pytest.raises(UserError, match="there are no images to evaluate on"):
        evaluate(cohort, MeanEnsemble(), [])
    assert cohort.training

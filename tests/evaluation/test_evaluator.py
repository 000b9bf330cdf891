from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from torch import nn

from peerdistill import CohortOutput, UserError
from peerdistill.evaluation import METRICS, ClassEvaluator, Metric
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


def sklearns_percent(given, predictor, classes, top_k):
    scores = torch.cat([predictor(Recited()(batch.images)) for batch in given]).double().numpy()
    labels = torch.cat([batch.labels for batch in given]).numpy()
    if top_k == classes:
        return 100
    if top_k == 1:
        return 100 * accuracy_score(labels, scores.argmax(axis=1))
    return 100 * top_k_accuracy_score(labels, scores, k=top_k, labels=range(classes))


@pytest.mark.parametrize("classes", [2, 5, 11])
def test_is_what_sklearn_says(classes):
    given = batches(classes)
    evaluation = ClassEvaluator(given)(Recited(), MeanEnsemble())
    predictors = [lambda out, peer=peer: out.logits[peer] for peer in range(PEERS)] + [MeanEnsemble()]
    for accuracy, predictor in zip((*evaluation.peers, evaluation.ensemble), predictors, strict=True):
        assert accuracy.top1 == pytest.approx(sklearns_percent(given, predictor, classes, 1), rel=1e-6)
        if classes > 5:
            assert accuracy.top5 == pytest.approx(sklearns_percent(given, predictor, classes, 5), rel=1e-6)
    assert evaluation.samples == 21
    assert evaluation.leader == evaluation.peers[-1]


def test_ensemble_is_the_methods_own():
    evaluation = ClassEvaluator(batches(6))(Recited(), Watched())
    assert evaluation.ensemble == evaluation.peers[1]


@pytest.mark.parametrize("classes", [4, 5])
def test_no_top5_for_up_to_five_classes_where_it_is_always_100_percent(classes):
    evaluation = ClassEvaluator(batches(classes))(Recited(), MeanEnsemble())
    assert evaluation.leader.top5 is None
    assert list(evaluation.as_dict()["leader"]) == ["top1"]


def test_as_dict_is_what_goes_into_json():
    evaluation = ClassEvaluator(batches(6))(Recited(), MeanEnsemble())
    told = evaluation.as_dict()
    assert list(told) == ["samples", "peers", "leader", "ensemble"]
    assert told["samples"] == 21
    assert told["peers"] == [{"top1": peer.top1, "top5": peer.top5} for peer in evaluation.peers]
    assert told["leader"] == told["peers"][-1]


@pytest.mark.parametrize("training", [True, False])
def test_runs_in_evaluation_mode_and_restores_the_cohorts(training):
    cohort = Recited().train(training)
    ClassEvaluator(batches(5))(cohort, MeanEnsemble())
    assert cohort.modes == [(False, False)] * 3
    assert cohort.training is training
    assert cohort.child.training is training


def test_mode_is_restored_when_a_batch_fails():
    cohort = Recited().train()

    def failing():
        yield batches(5)[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        ClassEvaluator(failing())(cohort, MeanEnsemble())
    assert cohort.training


def test_keeps_no_graph():
    given, ensemble = batches(5), Watched()
    for batch in given:
        batch.images.requires_grad_()
    ClassEvaluator(given)(Recited(), ensemble)
    assert ensemble.graphs == [False] * 3


def test_the_ensemble_is_in_evaluation_mode_too():
    ensemble = Watched().train()
    ClassEvaluator(batches(5))(Recited(), ensemble)
    assert ensemble.modes == [False] * 3
    assert ensemble.training


def test_nothing_to_evaluate_on():
    cohort = Recited().train()
    with pytest.raises(UserError, match="there are no images to evaluate on"):
        ClassEvaluator([])(cohort, MeanEnsemble())
    assert cohort.training


def test_a_metric_is_one_function():
    """The mean probability of the label, beside what scikit-learn's log loss says of the same probabilities."""

    def log_loss_of_label(predictions):
        return -predictions.logits.log_softmax(-1)[:, range(len(predictions.labels)), predictions.labels]

    given = batches(4)
    metrics = {**METRICS, "log_loss": Metric("log_loss", log_loss_of_label)}
    evaluation = ClassEvaluator(given, metrics)(Recited(), MeanEnsemble())
    labels = torch.cat([batch.labels for batch in given])
    logits = torch.cat([batch.images.squeeze(2) for batch in given])
    for peer in range(PEERS):
        probabilities = logits[:, peer].double().softmax(-1)
        expected = log_loss(labels, probabilities, labels=range(4))
        assert evaluation.peers[peer]["log_loss"] == pytest.approx(expected, rel=1e-6)
    assert list(evaluation.as_dict()["ensemble"]) == ["top1", "log_loss"]


def test_closing_an_evaluator_closes_its_batches():
    class Closable(list):
        closed = False

        def close(self):
            self.closed = True

    given = Closable(batches(4))
    ClassEvaluator(given).close()
    assert given.closed
    ClassEvaluator(batches(4)).close()


def test_a_report_has_the_scores_and_the_predictions_of_leader_and_ensemble():
    given, ensemble = batches(7), Watched()
    found = ClassEvaluator(given).report(Recited(), ensemble)
    scores = ClassEvaluator(given)(Recited(), ensemble)
    assert found.evaluation == scores
    labels = torch.cat([batch.labels for batch in given])
    logits = torch.cat([batch.images.squeeze(2) for batch in given])
    for report, peer in ((found.leader, -1), (found.ensemble, 1)):
        assert report.labels.tolist() == labels.tolist()
        assert report.logits.tolist() == logits[:, peer].tolist()
        assert report.predicted.tolist() == logits[:, peer].argmax(-1).tolist()
        assert report.confusion.trace() == round(scores.peers[peer].top1 / 100 * scores.samples)
    told = found.as_dict("abcdefg")
    assert list(told) == list(scores.as_dict())
    assert list(told["leader"]) == ["top1", "top5", "balanced_accuracy", "ece", "per_class", "confusion"]
    assert told["peers"] == scores.as_dict()["peers"]


def test_other_networks_are_scored_beside_the_peers_in_one_pass():
    """The other network is a cohort whose only peer is the first peer."""

    class First(Recited):
        def forward(self, images):
            return super().forward(images[:, :1])

    given, first = batches(7), First().train()
    alone = ClassEvaluator(given)(Recited(), MeanEnsemble())
    found = ClassEvaluator(given)(Recited(), MeanEnsemble(), {"ema": first})
    assert (found.peers, found.ensemble) == (alone.peers, alone.ensemble)
    assert found.others == {"ema": alone.peers[0]}
    assert list(found.as_dict()) == ["samples", "peers", "leader", "ensemble", "ema"]
    assert first.modes == [(False, False)] * 3
    assert first.training
    report, expected = (ClassEvaluator(given).report(Recited(), Watched(), others) for others in ({"ema": first}, None))
    assert report.evaluation.others == found.others
    for which in ("leader", "ensemble"):
        assert getattr(report, which).logits.tolist() == getattr(expected, which).logits.tolist()


def test_a_report_runs_the_cohort_once_per_batch():
    cohort = Recited()
    ClassEvaluator(batches(4)).report(cohort, MeanEnsemble())
    assert len(cohort.modes) == 3


def test_a_report_in_half_precision_is_kept_in_single():
    given = [SimpleNamespace(images=batch.images.bfloat16(), labels=batch.labels) for batch in batches(4)]
    found = ClassEvaluator(given).report(Recited(), MeanEnsemble())
    assert found.leader.logits.dtype == "float32"


def test_no_report_without_images():
    with pytest.raises(UserError, match="there are no images to evaluate on"):
        ClassEvaluator([]).report(Recited(), MeanEnsemble())

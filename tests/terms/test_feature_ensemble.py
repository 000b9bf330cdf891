import pytest
import torch

from peerdistill.terms import EnsembleCrossEntropy, EnsembleToPeers, FeatureEnsemble, Method, Weighted


@pytest.fixture
def ensemble():
    torch.manual_seed(0)
    return FeatureEnsemble((6, 6, 6), classes=5).double()


def test_is_one_classifier_on_all_features(out, ensemble):
    weight, bias = ensemble.classifier.weight.tolist(), ensemble.classifier.bias.tolist()
    for i, row in enumerate(ensemble(out).tolist()):
        features = [value for peer in out.features for value in peer[i].tolist()]
        expected = [
            b + sum(w * v for w, v in zip(ws, features, strict=True)) for ws, b in zip(weight, bias, strict=True)
        ]
        assert row == pytest.approx(expected, rel=1e-10)


def test_labels_train_classifier_and_peers(out, labels, indices, ensemble):
    Method([Weighted("labels", 1.0, EnsembleCrossEntropy())], ensemble)(out, labels, indices).total.backward()
    assert ensemble.classifier.weight.grad.any()
    assert all(features.any() for features in out.features.grad)
    assert out.logits.grad is None


def test_distillation_trains_only_the_peers(out, labels, indices, ensemble):
    Method([Weighted("peers", 1.0, EnsembleToPeers())], ensemble)(out, labels, indices).total.backward()
    assert ensemble.classifier.weight.grad is None
    assert out.features.grad is None
    assert all(logits.any() for logits in out.logits.grad)

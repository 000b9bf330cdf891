import math

import pytest

from peerdistill.terms import Batch, CrossEntropy


def test_is_equation_1_summed_over_peers(out, labels, indices):
    expected = 0.0
    for logits in out.logits.tolist():
        for scores, label in zip(logits, labels.tolist(), strict=True):
            posterior = math.exp(scores[label]) / sum(math.exp(score) for score in scores)  # eq. 2
            expected -= math.log(posterior) / len(labels)  # eq. 1
    assert CrossEntropy()(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_is_softmax_minus_one_hot(out, labels, indices):
    CrossEntropy()(out, Batch(labels, indices)).backward()
    softmax = out.logits.detach().softmax(-1)
    softmax[:, range(4), labels] -= 1
    assert (out.logits.grad - softmax / 4).abs().max() < 1e-12
    assert out.features.grad is None

"""Runs with mixed images: what the method receives, resume, and what is refused."""

import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.terms import Criterion

MIXED = {"mix.mixup": 0.8, "mix.cutmix": 1.0, "mix.share": 0.25, "label_smoothing": 0.1, "class_weights": "balanced"}


def test_the_cross_entropy_gets_the_distributions_of_mixed_images(tmp_path, quick_config, train_quickly, monkeypatch):
    seen = []
    forward = Criterion.forward

    def recorded(self, logits, labels, targets=None):
        seen.append((labels, targets))
        return forward(self, logits, labels, targets)

    monkeypatch.setattr(Criterion, "forward", recorded)
    train_quickly(quick_config(method="baseline", epochs=1, **MIXED), tmp_path / "run")
    assert seen
    for labels, targets in seen:
        assert targets.shape == (8, 3)  # a quarter of 32 images
        torch.testing.assert_close(targets.sum(-1), torch.ones(8))
        assert (targets[torch.arange(8), labels[:8]] > 0).all()
    assert any((targets > 0).sum() > 8 for _, targets in seen)


@pytest.mark.parametrize("method", ["mcl-okd", "mcl"])
def test_a_run_resumes_bitwise(tmp_path, quick_config, train_quickly, state_of, stop_and_resume, method):
    config = quick_config(method=method, **MIXED)
    whole = Run(tmp_path / "whole")
    train_quickly(config, whole.path)
    stopped = stop_and_resume(config, tmp_path / "stopped")
    assert state_of(stopped) == state_of(whole)
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()


@pytest.mark.parametrize(
    ("method", "changes", "term"),
    [
        ("mcl-okd", {}, "contrast"),
        ("mcl", {}, "vanilla"),
        ("mcl", {"vanilla": 0.0}, "interactive"),
        ("kdcl", {}, "target"),
        ("mcl-okd", {"mix.share": 0.99}, "contrast"),  # rounded to all images of a batch
    ],
)
def test_a_term_that_needs_clean_images_must_have_some(tmp_path, quick_config, train_quickly, method, changes, term):
    config = quick_config(method=method, **{**MIXED, "mix.share": 1.0, **changes})
    sentence = f"'{term}' does not accept mixed images, and all 32 images of a batch are mixed: set a smaller mix.share"
    with pytest.raises(UserError, match=sentence):
        train_quickly(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_such_a_term_all_images_may_be_mixed(tmp_path, quick_config, train_quickly):
    train_quickly(quick_config(beta=0.0, epochs=1, **{**MIXED, "mix.share": 1.0}), tmp_path / "run")

"""What each method learns from a batch whose first images are mixed (mixup, CutMix)."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError
from peerdistill.terms import CrossEntropy, Method, Weighted

MIXED, CLASSES = 3, 5
INDICES = torch.tensor([40, 7, 12, 33, 21, 3, 58])
LABELS = INDICES % CLASSES
TARGETS = torch.tensor([[0.7, 0.3, 0, 0, 0], [0, 0, 0.5, 0, 0.5], [0, 0.1, 0, 0.9, 0]])

# Terms that see clean images only, of every method.
CLEAN = {
    "baseline": [],
    "cl-ilr": [],
    "dml": [],
    "kdcl": ["target"],
    "mcl": ["vanilla", "interactive", "soft_vanilla", "soft_interactive"],
    "mcl-okd": ["contrast"],
    "okddip": [],
    "one": [],
    "pcl": [],
    "crd": ["contrast"],
    "crd+kd": ["contrast"],
    "kd": [],
    "rkd-d": ["distance"],
    "rkd-da": ["distance", "angle"],
}


@pytest.fixture
def images():
    return torch.randn(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def parts_of(method, cohort, *batch):
    """Return the parts of the loss. All calls draw the same negatives, and none changes the method."""
    torch.manual_seed(0)
    found = deepcopy(method)(*batch) if len(batch) == 4 else deepcopy(method)(cohort(batch[0]), *batch[1:])
    return {name: part.item() for name, part in found.parts.items()}


def soft_cross_entropy(logits):
    """The mean of -sum_c t_c log p_c, with the distributions of mixed images and the labels of the others."""
    log_p = logits - logits.exp().sum(-1, keepdim=True).log()
    soft = [(TARGETS[row] * log_p[row]).sum() for row in range(MIXED)]
    hard = [log_p[row, LABELS[row]] for row in range(MIXED, len(LABELS))]
    return -sum(soft + hard).item() / len(LABELS)


@pytest.mark.parametrize("name", methods.names())
def test_every_term_gets_soft_targets_or_clean_images(make_cohort, make_method, images, name):
    """In evaluation mode no image affects another, so clean images alone give what a clean term must get."""
    cohort = make_cohort(name).eval()
    method = make_method(name, cohort).eval()
    method.start_epoch(80)
    out = cohort(images)
    mixed = parts_of(method, cohort, out, LABELS, INDICES, TARGETS)
    plain = parts_of(method, cohort, images, LABELS, INDICES)
    clean = parts_of(method, cohort, images[MIXED:], LABELS[MIXED:], INDICES[MIXED:])
    assert method.clean_terms == CLEAN[name]

    weight = method.weights["cross_entropy"].at(80)
    expected = {part: (clean if part in CLEAN[name] else plain)[part] for part in plain}
    expected["cross_entropy"] = weight * sum(soft_cross_entropy(logits) for logits in out.logits)
    if "ensemble_labels" in expected:
        expected["ensemble_labels"] = soft_cross_entropy(method.ensemble(out))
    assert mixed == pytest.approx(expected, rel=1e-5)
    for part in CLEAN[name]:
        assert mixed[part] != pytest.approx(plain[part], rel=1e-4)


@pytest.mark.parametrize("name", methods.names())
def test_labels_of_mixed_images_have_no_effect(make_cohort, make_method, images, name):
    cohort = make_cohort(name)
    method = make_method(name, cohort)
    method.start_epoch(0)
    other = LABELS.clone()
    other[:MIXED] = (other[:MIXED] + 1) % CLASSES
    out = cohort(images)
    found = [parts_of(method, cohort, out, labels, INDICES, TARGETS) for labels in (LABELS, other)]
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["mcl-okd", "crd"])
def test_the_bank_holds_no_mixed_image(make_cohort, make_method, images, name):
    cohort = make_cohort(name)
    method = make_method(name, cohort)
    rows = method.terms["contrast"].memory.bank.rows
    before = rows.clone()
    method(cohort(images), LABELS, INDICES, TARGETS)
    moved = (rows != before).any(-1).any(0).nonzero().flatten().tolist()
    assert moved == sorted(INDICES[MIXED:].tolist())


def test_the_queue_holds_no_mixed_image(make_cohort, make_method, images):
    cohort = make_cohort("mcl-okd")
    options = replace(ContrastOptions(), negatives="queue", count=6, width=8)
    method = make_method("mcl-okd", cohort, contrast=options)
    method(cohort(images), LABELS, INDICES, TARGETS)
    queue = method.terms["contrast"].memory.queue
    assert queue.labels.tolist() == [*LABELS[MIXED:].tolist(), -1, -1]
    assert not queue.rows[:, 4:].any()


@pytest.mark.parametrize("name", methods.names())
def test_without_mixed_images_nothing_changes(make_cohort, make_method, images, name):
    cohort = make_cohort(name)
    method = make_method(name, cohort)
    method.start_epoch(0)
    out = cohort(images)
    found = [parts_of(method, cohort, out, LABELS, INDICES, targets) for targets in (None, TARGETS[:0])]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_peers_of_different_widths(make_method):
    cohort = Cohort("resnet20", 5, peers=3, sharing="network", peer_backbones=("vgg8", "resnet20")).eval()
    method = make_method("mcl-okd", cohort).eval()
    images = torch.randn(7, 3, 32, 32)
    mixed = parts_of(method, cohort, cohort(images), LABELS, INDICES, TARGETS)
    clean = parts_of(method, cohort, images[MIXED:], LABELS[MIXED:], INDICES[MIXED:])
    assert mixed["contrast"] == pytest.approx(clean["contrast"], rel=1e-5)


class Seen(nn.Module):
    """A term that keeps what it receives, and says nothing about mixed images unless told to."""

    def __init__(self, accepts_mixed=None):
        super().__init__()
        if accepts_mixed is not None:
            self.accepts_mixed = accepts_mixed

    def forward(self, out, batch):
        self.out, self.batch = out, batch
        return batch.once(torch.sum, out.logits)


def test_a_term_that_says_nothing_gets_clean_samples(images):
    cohort = Cohort("resnet8", CLASSES, peers=2)
    teacher = Cohort("resnet8", CLASSES, peers=1)
    terms = {"silent": Seen(), "accepts": Seen(True), "refuses": Seen(False)}
    method = Method([Weighted(name, 1.0, term) for name, term in terms.items()], teacher=teacher)
    out = cohort(images)
    loss = method(out, LABELS, INDICES, TARGETS)
    assert method.clean_terms == ["silent", "refuses"]
    silent, accepts = terms["silent"], terms["accepts"]
    assert silent.out is terms["refuses"].out
    assert silent.batch is terms["refuses"].batch
    assert torch.equal(silent.out.logits, out.logits[:, MIXED:])
    assert torch.equal(silent.out.features, out.features[:, MIXED:])
    assert torch.equal(silent.out.stem, out.stem[MIXED:])
    assert torch.equal(silent.out.ensemble, out.logits.mean(0)[MIXED:])
    assert torch.equal(silent.out.images, images[MIXED:])
    assert torch.equal(silent.out.teacher.logits, accepts.out.teacher.logits[:, MIXED:])
    assert torch.equal(silent.batch.labels, LABELS[MIXED:])
    assert torch.equal(silent.batch.indices, INDICES[MIXED:])
    assert torch.equal(silent.batch.images, images[MIXED:])
    assert (silent.batch.targets, silent.batch.mixed) == (None, 0)
    assert silent.batch.criterion is method.criterion
    assert accepts.batch.targets is TARGETS
    assert accepts.batch.mixed == MIXED
    assert torch.equal(accepts.out.logits, out.logits)
    # What terms share is computed once for the clean samples and once for the whole batch.
    assert loss.parts["silent"].item() == loss.parts["refuses"].item() == out.logits[:, MIXED:].sum().item()
    assert loss.parts["accepts"].item() == out.logits.sum().item()


def test_a_batch_without_clean_images_is_refused_by_terms_that_need_them(images):
    cohort = Cohort("resnet8", CLASSES, peers=2)
    out, targets = cohort(images), torch.full((7, CLASSES), 0.2)
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("apart", 0.5, Seen())])
    sentence = "'apart' does not accept mixed images, and all 7 images of a batch are mixed: set a smaller mix.share"
    with pytest.raises(UserError, match=sentence):
        method(out, LABELS, INDICES, targets)
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("apart", 0.0, Seen())])
    assert method(out, LABELS, INDICES, targets).total.isfinite()

import itertools
import math

import jaxtyping
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from peerdistill.contrast import multi_view_nce
from peerdistill.contrast.keys import CommonKeys, GatheredKeys, bank_keys
from peerdistill.errors import UserError

OPTIONS = [
    pytest.param({"normaliser": normaliser, "views": views}, id=f"{normaliser}-{views}")
    for normaliser, views in itertools.product(("anchor", "batch"), ("full", "core"))
]
# Seven negatives of a small bank: a product with the whole bank, with multiplicities. Of a large bank: gathered.
ROUTES = [pytest.param(40, CommonKeys, id="multiplicity"), pytest.param(200, GatheredKeys, id="gathered")]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("samples", "route"), ROUTES)
def test_value_is_equations_6_to_11(draw_case, naive_loss, samples, route, options):
    case = draw_case(samples=samples)
    assert isinstance(bank_keys(case.banks, case.indices, case.negatives, None, torch.float64), route)
    assert multi_view_nce(*case, **options).item() == pytest.approx(naive_loss(case, **options), rel=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.fixed_dictionaries(
        {
            "peers": st.integers(2, 4),
            "batch": st.integers(1, 4),
            "samples": st.integers(1, 300),
            "negatives": st.integers(1, 9),
            "width": st.integers(1, 5),
            "seed": st.integers(0, 2**32),
        }
    ),
    temperature=st.floats(0.05, 2),
    normaliser=st.sampled_from(["anchor", "batch"]),
    views=st.sampled_from(["full", "core"]),
)
# A sample that is not drawn resembles the anchor, and the positive and the negative are its opposite.
@example(
    sizes={"peers": 2, "batch": 1, "samples": 2, "negatives": 1, "width": 1, "seed": 2},
    temperature=0.05,
    normaliser="anchor",
    views="full",
)
def test_value_is_equations_6_to_11_at_any_size(draw_case, naive_loss, sizes, temperature, normaliser, views):
    case = draw_case(**sizes)
    options = {"temperature": temperature, "normaliser": normaliser, "views": views}
    assert multi_view_nce(*case, **options).item() == pytest.approx(naive_loss(case, **options), rel=1e-10)


@pytest.mark.parametrize(("samples", "route"), ROUTES)
@pytest.mark.parametrize("size", [1, 500, 2_000, 10_000])
def test_block_size_does_not_matter(draw_case, naive_loss, set_block_bytes, samples, route, size):
    set_block_bytes(size)
    case = draw_case(batch=7, samples=samples)
    assert multi_view_nce(*case).item() == pytest.approx(naive_loss(case), rel=1e-10)


def test_equal_vectors(draw_case):
    """With one h everywhere h / Z is 1 / N, so p = (1/N) / (1/N + S/N) = 1 / (1 + S) for every key.

    A pair costs -log p - S log(1 - p) = log(1 + S) + S log((1 + S) / S), at any temperature.
    """
    peers, negatives = 3, 7
    case = draw_case(peers=peers, negatives=negatives)
    same = F.normalize(torch.arange(1.0, 7.0, dtype=torch.float64), dim=0)
    case = case._replace(embeddings=same.expand_as(case.embeddings), banks=same.expand_as(case.banks))
    expected = peers * (peers - 1) * (math.log(1 + negatives) + negatives * math.log((1 + negatives) / negatives))
    for temperature in (0.01, 0.1, 1.0):
        assert multi_view_nce(*case, temperature=temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("normaliser", ["anchor", "batch"])
def test_positive_aligned_and_negatives_orthogonal(normaliser):
    """The positive has h = e^(1/tau) =: q and each negative h = 1, so Z / N = (q + S) / (1 + S) =: z for all anchors.

    By eq. 10 p_0 = q / (q + S z) and p_k = 1 / (1 + S z); a pair costs log(1 + S z / q) + S log(1 + 1 / (S z)).
    """
    peers, batch, tau = 3, 4, 0.5
    rows = torch.eye(batch, dtype=torch.float64)
    indices = torch.arange(batch)
    negatives = torch.tensor([[row for row in range(batch) if row != own] for own in range(batch)])
    S, q = batch - 1, math.exp(1 / tau)
    z = (q + S) / (1 + S)
    expected = peers * (peers - 1) * (math.log1p(S * z / q) + S * math.log1p(1 / (S * z)))
    both = rows.expand(peers, -1, -1)
    loss = multi_view_nce(both, both, indices, negatives, temperature=tau, normaliser=normaliser)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_length_of_embeddings_does_not_matter(draw_case, options):
    case = draw_case()
    lengths = torch.rand(*case.embeddings.shape[:2], 1, dtype=torch.float64) * 100 + 1e-3
    stretched = case._replace(embeddings=case.embeddings * lengths)
    assert multi_view_nce(*stretched, **options).item() == pytest.approx(
        multi_view_nce(*case, **options).item(), rel=1e-12
    )


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(7)))
def test_order_of_negatives_does_not_matter(draw_case, order):
    case = draw_case(negatives=7)
    shuffled = case._replace(negatives=case.negatives[:, order])
    assert multi_view_nce(*shuffled).item() == pytest.approx(multi_view_nce(*case).item(), rel=1e-12)


@pytest.mark.parametrize(("views", "pairs"), [("full", list(itertools.combinations(range(4), 2))), ("core", None)])
def test_views_are_sums_over_pairs_of_peers(draw_case, views, pairs):
    """Full: all pairs a < b. Core: the leader, which is the last peer, with each other peer."""
    case = draw_case(peers=4)
    pairs = pairs or [(0, 3), (1, 3), (2, 3)]
    of_two = [
        multi_view_nce(case.embeddings[[a, b]], case.banks[[a, b]], case.indices, case.negatives) for a, b in pairs
    ]
    assert multi_view_nce(*case, views=views).item() == pytest.approx(sum(of_two).item(), rel=1e-12)


@pytest.mark.parametrize(("samples", "route"), ROUTES)
def test_repeated_negatives_count_repeatedly(draw_case, naive_loss, samples, route):
    case = draw_case(samples=samples)
    case = case._replace(negatives=case.negatives[:, :1].expand(-1, 7))
    assert multi_view_nce(*case).item() == pytest.approx(naive_loss(case), rel=1e-10)


def test_inference_mode_gives_the_same_value(draw_case):
    case = draw_case()
    with torch.inference_mode():
        inferred = multi_view_nce(*case)
    assert inferred.item() == multi_view_nce(*case).item()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be at least 0.003, found 0.0"),
        ({"temperature": -1.0}, "temperature must be at least 0.003, found -1.0"),
        ({"objective": "softmx"}, "unknown objective 'softmx': did you mean softmax"),
        ({"normaliser": "anchr"}, "unknown normaliser 'anchr': did you mean anchor"),
        ({"views": "half"}, "unknown views 'half': choose from full, core"),
    ],
)
def test_options_out_of_range(draw_case, monkeypatch, options, message):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # disables the shape checks of the tests
    with pytest.raises(UserError, match=message):
        multi_view_nce(*draw_case(), **options)


def test_one_peer_is_an_error(draw_case):
    with pytest.raises(UserError, match="at least 2 peers, found 1"):
        multi_view_nce(*draw_case(peers=1))


def test_no_negatives_is_an_error(draw_case):
    with pytest.raises(UserError, match="negative"):
        multi_view_nce(*draw_case(negatives=0))

"""A bank that several processes hold in shards, here threads: loss and gradient are those of the whole bank."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from peerdistill.contrast import ContrastOptions, MemoryBank, bank, log_normalisers, memory_for, memory_of
from peerdistill.contrast.nce import multi_view_nce
from peerdistill.contrast.shard import DealtRows, Shard
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.shares import Share

LABELS = torch.arange(43) % 4
COUNTS = [2, 5]


class Together:
    """Threads that add up tensors as processes do."""

    def __init__(self, count: int):
        self._sent: list[Tensor] = [torch.empty(0)] * count
        self._barrier = threading.Barrier(count)

    def total(self, number: int, values: Tensor) -> Tensor:
        self._sent[number] = values
        self._barrier.wait(timeout=60)
        found = torch.stack(self._sent).sum(0)
        self._barrier.wait(timeout=60)
        return found

    @classmethod
    def run(cls, count: int, work: Callable[[Shard], object]) -> list:
        """Return what ``work`` returns in each of ``count`` threads."""
        group = cls(count)
        shards = [
            Shard(DealtRows(LABELS, Share(number, count)), lambda values, number=number: group.total(number, values))
            for number in range(count)
        ]
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(work, shards))


def in_shards(case, count, negatives, function=multi_view_nce, **options) -> list:
    """Return value and gradient of each thread; ``negatives`` may depend on its rows."""

    def work(shard: Shard):
        embeddings = case.embeddings.clone().requires_grad_()
        drawn = negatives(shard.rows) if callable(negatives) else negatives
        rows = case.banks[:, shard.rows.samples]
        value = function(embeddings, rows, case.indices, drawn, labels=LABELS, shard=shard, **options)
        if not value.requires_grad:
            return value, None
        value.backward()
        return value.detach(), embeddings.grad

    return Together.run(count, work)


def whole(case, negatives, **options):
    embeddings = case.embeddings.clone().requires_grad_()
    loss = multi_view_nce(embeddings, case.banks, case.indices, negatives, labels=LABELS, **options)
    loss.backward()
    return loss.detach(), embeddings.grad


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("views", ["full", "core"])
@pytest.mark.parametrize(
    "objective",
    [
        {"normaliser": "anchor"},
        {"normaliser": "batch"},
        {"normaliser": torch.tensor([0.3, 1.2, -0.4], dtype=torch.float64)},
        {"objective": "softmax"},
    ],
    ids=["anchor", "batch", "known", "softmax"],
)
@pytest.mark.parametrize("kind", ["all", "shared", "own"])
def test_loss_and_gradient_are_those_of_the_whole_bank(draw_case, kind, objective, views, count):
    case, options = draw_case(samples=len(LABELS), batch=6), {**objective, "views": views, "temperature": 0.2}
    common = torch.randint(len(LABELS), (3,), generator=torch.Generator().manual_seed(1))  # some shards have none

    def own(dealt: DealtRows) -> Tensor:
        draws = torch.Generator().manual_seed(dealt.share.number)
        return torch.randint(len(dealt.samples), (6, 3), generator=draws)

    every = [DealtRows(LABELS, Share(number, count)) for number in range(count)]
    drawn = [dealt.samples[own(dealt)] for dealt in every]
    expected = whole(case, {"all": "all", "shared": common, "own": torch.cat(drawn, 1)}[kind], **options)
    for found in in_shards(case, count, {"all": "all", "shared": common, "own": own}[kind], **options):
        for value, of_one in zip(found, expected, strict=True):
            torch.testing.assert_close(value, of_one, rtol=1e-10, atol=1e-12)


def test_blocks_of_keys_do_not_change_the_loss(draw_case, set_block_bytes):
    set_block_bytes(256)
    case = draw_case(samples=len(LABELS), batch=6)
    expected = whole(case, "all")
    for found in in_shards(case, 2, "all"):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("count", COUNTS)
def test_z_of_the_first_batch_is_that_of_the_whole_bank(draw_case, count):
    case = draw_case(samples=len(LABELS))
    expected = log_normalisers(case.embeddings, case.banks, case.indices, "all", labels=LABELS)
    for found, _ in in_shards(case, count, "all", log_normalisers):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("count", COUNTS)
def test_shards_of_a_bank_are_its_rows_before_and_after_an_update(monkeypatch, count):
    monkeypatch.setattr(bank, "_DRAWN_AT_ONCE", 16)
    torch.manual_seed(3)
    expected = torch.stack([F.normalize(torch.randn(43, 5), dim=-1) for _ in range(2)])
    after = torch.get_rng_state()
    torch.manual_seed(3)
    alone = MemoryBank(2, 43, 5)
    assert torch.equal(alone.rows, expected)
    embeddings, indices = torch.randn(2, 6, 5), torch.tensor([7, 8, 42, 8, 0, 41])
    alone.update(embeddings, indices)
    for number in range(count):
        torch.manual_seed(3)
        dealt = DealtRows(LABELS, Share(number, count))
        part = MemoryBank(2, 43, 5, dealt=dealt)
        assert torch.equal(torch.get_rng_state(), after)
        assert torch.equal(part.rows, expected[:, dealt.samples])
        part.update(embeddings, indices)
        torch.testing.assert_close(part.rows, alone.rows[:, dealt.samples])


@pytest.mark.parametrize("labels", [LABELS, LABELS.sort().values, torch.randint(5, (101,))])
def test_every_shard_has_its_part_of_each_class(labels):
    every = [DealtRows(labels, Share(number, 3)) for number in range(3)]
    assert torch.cat([dealt.samples for dealt in every]).sort().values.tolist() == list(range(len(labels)))
    sizes = torch.stack([torch.bincount(labels[dealt.samples], minlength=5) for dealt in every])
    assert ((sizes - torch.bincount(labels, minlength=5) / 3).abs() < 1).all()
    for dealt in every:
        assert torch.equal(dealt.rows_of(dealt.samples), torch.arange(len(dealt.samples)))
        assert torch.equal(dealt.owns(torch.arange(len(labels))).nonzero()[:, 0], dealt.samples.sort().values)


def shards(processes: int, kind: str = "own", labels=LABELS, **options) -> list:
    chosen = ContrastOptions(negatives=kind, **{"count": 8, "width": 4, "shard": "always", **options})
    found = []
    for number in range(processes):
        with memory_of(Share(number, processes)):
            found.append(memory_for(2, labels, chosen))
    return found


def test_own_negatives_are_stratified_by_shard():
    memories, draws = shards(3, count=8), 6000
    anchors, samples = torch.tensor([1, 3]), torch.arange(len(LABELS))
    drawn, states = [], []
    for memory in memories:
        torch.manual_seed(0)  # as in every process
        found = memory.lookup(anchors.repeat(draws), torch.zeros(2 * draws, dtype=torch.long), lambda values: values)
        drawn.append(memory.bank.dealt.samples[found["negatives"]])
        states.append(torch.get_rng_state())
    assert [part.shape[1] for part in drawn] == [2, 3, 3]
    assert all(torch.equal(state, states[0]) for state in states)  # later draws are the same in all processes
    for anchor, label in enumerate(anchors.tolist()):
        for number, part in enumerate(drawn):
            times = torch.bincount(part[anchor::2].flatten(), minlength=len(LABELS))
            others = memories[number].bank.dealt.owns(samples) & (label != LABELS)
            assert times[~others].sum() == 0
            expected = draws * part.shape[1] / int(others.sum())
            deviations = (times[others] - expected) / expected**0.5
            assert deviations.abs().max() < 4.5
            assert 0.3 < deviations.square().mean() < 2.5
    rows = [memories[number].bank.dealt.rows_of(drawn[number].flatten()) for number in (1, 2)]
    assert not torch.equal(*rows)  # processes draw different rows


@pytest.mark.parametrize(("shard", "limit", "rows"), [("never", 0, 43), ("auto", 43 * 2 * 4 * 4, 43), ("auto", 1, 22)])
def test_banks_are_divided_above_a_size(monkeypatch, shard, limit, rows):
    monkeypatch.setattr("peerdistill.contrast.memory.SHARDED_ABOVE", limit)
    assert shards(2, shard=shard)[0].bank.rows.shape[1] == rows


def test_a_single_process_and_a_queue_are_not_divided():
    assert not shards(1)[0].is_sharded
    assert not shards(2, "queue")[0].is_sharded


def test_fewer_negatives_than_processes():
    with pytest.raises(UserError, match=r"^contrast\.count must be at least 4, the number of devices .*, found 3$"):
        shards(4, count=3)


def test_a_shard_of_one_class_is_refused():
    with pytest.raises(UserError, match=r"one class only: set contrast\.shard never"):
        shards(4, count=4, labels=torch.tensor([0, 0, 0, 0, 1]))


def test_warning_if_shards_have_too_few_negatives():
    with pytest.warns(PeerdistillWarning, match="drawing 31 negatives per anchor instead of 60: for some anchors"):
        found = shards(2, count=60)
    assert [memory.sampler.count for memory in found] == [16, 15]

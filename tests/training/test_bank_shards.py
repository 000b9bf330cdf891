"""Shards of memory banks in checkpoints, written and read by processes one after the other."""

import pytest
import torch
from torch import nn

from peerdistill.contrast import ContrastOptions, memory_for, memory_of
from peerdistill.errors import UserError
from peerdistill.shares import Share
from peerdistill.terms import Method, Weighted
from peerdistill.training import Checkpoints
from peerdistill.training.bank_shards import BankShards, with_banks

LABELS = torch.randint(4, (29,), generator=torch.Generator().manual_seed(0))
ROWS = "terms.contrast.bank.rows"


def method(share: Share, seed: int = 0) -> Method:
    torch.manual_seed(seed)
    with memory_of(share):
        memory = memory_for(2, LABELS, ContrastOptions(negatives="all", width=3, shard="always"))
    return Method([Weighted("contrast", 1.0, memory)])


def shards_of(trained: Method, checkpoints: Checkpoints, number: int, count: int) -> BankShards:
    return BankShards(trained, checkpoints, Share(number, count), wait=lambda: None)


def state_of(found: nn.Module, step: int, **options) -> dict:
    return {"progress": {"step": step}, "notes": {"options": options}, "method": found.state_dict()}


def save(
    checkpoints: Checkpoints, count: int, step: int = 8, seed: int = 0, only: int | None = None, **options
) -> dict:
    """Write the shards of all processes, or of one only, and return what is left for the checkpoint."""
    left = {}
    for number in range(count) if only is None else (only,):
        trained = method(Share(number, count), seed)
        left = shards_of(trained, checkpoints, number, count).save(state_of(trained, step, **options))
    return left


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


@pytest.mark.parametrize("before", [1, 2, 3])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_banks_are_the_same_for_any_number_of_processes(checkpoints, before, after):
    state = save(checkpoints, before)
    assert (ROWS in state["method"]) == (before == 1)
    for number in range(after):
        expected = method(Share(number, after)).state_dict()
        loaded = method(Share(number, after), seed=1)
        assert not torch.equal(loaded.state_dict()[ROWS], expected[ROWS])
        loaded.load_state_dict(with_banks(state, loaded, checkpoints)["method"])
        assert torch.equal(loaded.state_dict()[ROWS], expected[ROWS])


def test_shards_written_after_the_checkpoint_do_not_matter(checkpoints):
    state = save(checkpoints, 2)
    save(checkpoints, 2, step=9, seed=1)  # killed before the checkpoint
    reader = method(Share(1, 2), seed=2)
    assert torch.equal(with_banks(state, reader, checkpoints)["method"][ROWS], method(Share(1, 2)).state_dict()[ROWS])


def test_shards_of_older_checkpoints_are_removed(checkpoints):
    for step in (8, 9, 10):
        save(checkpoints, 2, step=step)
    for number in (1, 0):
        assert len(list(checkpoints.folder.iterdir())) == 6  # only the first process removes them
        shards_of(method(Share(number, 2)), checkpoints, number, 2).keep({9, 10})
    assert sorted(file.name for file in checkpoints.folder.iterdir()) == [
        *(f"step-10-shard-{number}-of-2.shard" for number in (1, 2)),
        *(f"step-9-shard-{number}-of-2.shard" for number in (1, 2)),
    ]


def test_nothing_is_written_without_shards(checkpoints):
    trained = method(Share(0, 1))
    state = state_of(trained, 8)
    shards = shards_of(trained, checkpoints, 0, 1)
    assert shards.save(state) == state
    shards.keep(set())
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("after", [1, 2])
def test_a_shard_that_is_missing(checkpoints, after):
    state = save(checkpoints, 2)
    lost = checkpoints.folder / "step-8-shard-2-of-2.shard"
    lost.unlink()
    with pytest.raises(UserError, match=rf"of step 8 are incomplete: there is no {lost}\. Those of last\.pt and"):
        with_banks(state, method(Share(0, after)), checkpoints)


def test_a_shard_of_another_step(checkpoints):
    state = save(checkpoints, 2)
    save(checkpoints, 2, step=9)
    file = checkpoints.folder / "step-8-shard-1-of-2.shard"
    file.with_name("step-9-shard-1-of-2.shard").replace(file)
    with pytest.raises(UserError, match=f"^{file} .* do not belong together: it was written with step 9 instead of 8$"):
        with_banks(state, method(Share(0, 2)), checkpoints)


def test_a_shard_of_another_run(checkpoints):
    state = save(checkpoints, 2, lr=0.1)
    save(checkpoints, 2, only=0, lr=0.2)
    with pytest.raises(UserError, match=r"do not belong together: it was written with other options$"):
        with_banks(state, method(Share(0, 2)), checkpoints)


def test_a_damaged_shard(checkpoints):
    state = save(checkpoints, 2)
    file = checkpoints.folder / "step-8-shard-1-of-2.shard"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"^the checkpoint {file} is damaged$"):
        with_banks(state, method(Share(0, 2)), checkpoints)


@pytest.mark.parametrize(
    "banks", [None, {}, {ROWS: {}}, {ROWS: {"rows": torch.ones(1, 2, 3), "samples": torch.ones(2)}}]
)
def test_a_shard_with_other_content(checkpoints, banks):
    state = save(checkpoints, 2)
    file = checkpoints.folder / "step-8-shard-1-of-2.shard"
    checkpoints.save_part({**checkpoints.load(file), "banks": banks}, file)
    with pytest.raises(UserError, match=f"^{file} contains other memory banks than the configuration of its run$"):
        with_banks(state, method(Share(0, 2)), checkpoints)


@pytest.mark.parametrize("after", [1, 2])
def test_a_shard_with_too_few_rows(checkpoints, after):
    state = save(checkpoints, 2)
    file = checkpoints.folder / "step-8-shard-1-of-2.shard"
    content = checkpoints.load(file)
    part = content["banks"][ROWS]
    fewer = {"rows": part["rows"][:, 1:], "samples": part["samples"][1:]}
    checkpoints.save_part({**content, "banks": {ROWS: fewer}}, file)
    has = {1: "28 of 29", 2: "14 of 15"}[after]
    with pytest.raises(UserError, match=rf"^the shards in {checkpoints.folder} have {has} rows of {ROWS}$"):
        with_banks(state, method(Share(0, after)), checkpoints)


@pytest.mark.parametrize("number", [0, "2", None])
def test_a_checkpoint_without_a_number_of_shards(checkpoints, number):
    state = {**save(checkpoints, 2), "shards": number}
    with pytest.raises(UserError, match=r" has no number of shards, found "):
        with_banks(state, method(Share(0, 2)), checkpoints)

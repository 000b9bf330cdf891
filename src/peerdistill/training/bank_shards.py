"""Shards of memory banks in checkpoints: each process writes its rows to a file of its own, beside the checkpoint.

Axes: M peers, n samples of a shard, E embedding width.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peerdistill.contrast import MemoryBank
from peerdistill.errors import UserError, shortened
from peerdistill.files import SHARD_SUFFIX
from peerdistill.shares import Share
from peerdistill.terms import Method
from peerdistill.training.checkpoints import Checkpoints

_SHARDS = "shards"
"""Key in a checkpoint: the number of its shards. Checkpoints with whole memory banks do not have it."""


class BankShards:
    """The shards of a method's memory banks in the checkpoints of a run. Without shards, nothing happens.

    A checkpoint is written after the shards of all processes, and those of the checkpoint before it are kept. So
    whenever a process is killed, the last checkpoint has its shards.

    Args:
        method: The method.
        checkpoints: The checkpoints.
        share: Which of the processes that train together this is.
        wait: Waits until all processes have called it.
    """

    def __init__(self, method: Method, checkpoints: Checkpoints, share: Share, wait: Callable[[], object]):
        self._method = method
        self._checkpoints = checkpoints
        self._share = share
        self._wait = wait
        self._written: int | None = None

    @property
    def exist(self) -> bool:
        """Whether the memory banks are divided among the processes."""
        return any(bank.dealt is not None for bank in _banks(self._method).values())

    def save(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Write the shard of this process, wait until all processes have done so, and return the rest of the state.

        Raises:
            WriteError: The file cannot be written, for example because the disk is full.
        """
        if not self.exist:
            return dict(state)
        share, step = self._share, state["progress"]["step"]
        method = dict(state["method"])
        banks = {}
        for name, bank in _banks(self._method).items():
            if bank.dealt is not None:
                banks[name] = {"rows": method.pop(name), "samples": bank.dealt.samples}
        if step != self._written:  # a step changes the banks, and nothing else does
            content = {**_identity(state, share), "banks": banks}
            self._checkpoints.save_part(content, _file(self._checkpoints, step, share))
            self._written = step
        self._wait()
        return {**state, "method": method, _SHARDS: share.processes}

    def keep(self, steps: Collection[int]) -> None:
        """Remove the shards of all other steps; the first process does."""
        if not self.exist or self._share.number > 0:
            return
        kept = {_file(self._checkpoints, step, share).name for step in steps for share in _every(self._share)}
        for file in self._checkpoints.folder.glob(f"*{SHARD_SUFFIX}"):
            if file.name not in kept:
                with suppress(OSError):
                    file.unlink()

    def completed(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state of a checkpoint with the rows that this process holds, see :func:`with_banks`."""
        return with_banks(state, self._method, self._checkpoints)


def with_banks(state: Mapping[str, Any], method: Method, checkpoints: Checkpoints) -> dict[str, Any]:
    """Return the state of a checkpoint with the memory banks that ``method`` has: whole, or a shard of any number.

    Args:
        state: The state, with whole banks or without those that are in shards.
        method: The method that will load it.
        checkpoints: The checkpoints of the run.

    Raises:
        UserError: A shard is missing or damaged, or belongs to another step or run.
    """
    banks = _banks(method)
    if _SHARDS in state:
        rows = _rows_of_shards(state, banks, checkpoints)
    else:
        whole = {name: state["method"][name] for name in banks if name in state["method"]}
        rows = {name: _rows(bank, whole[name]) for name, bank in banks.items() if name in whole}
    return {**state, "method": {**state["method"], **rows}}


def _banks(method: Method) -> dict[str, MemoryBank]:
    """Return the memory banks of a method by the name of their rows in its state."""
    return {f"{name}.rows": part for name, part in method.named_modules() if isinstance(part, MemoryBank)}


def _rows(bank: MemoryBank, whole_MNE: Tensor) -> Tensor:
    """Return the rows of a whole bank that this process holds."""
    return whole_MNE if bank.dealt is None else whole_MNE[:, bank.dealt.samples.cpu()]


def _rows_of_shards(
    state: Mapping[str, Any], banks: Mapping[str, MemoryBank], checkpoints: Checkpoints
) -> dict[str, Tensor]:
    """Return the rows of this process, read from the shards that have some of them."""
    found = {name: torch.empty(bank.rows.shape, dtype=bank.rows.dtype) for name, bank in banks.items()}
    filled = dict.fromkeys(banks, 0)
    for shard in _every(Share(0, _number_of_shards(state, checkpoints))):
        file = _file(checkpoints, state["progress"]["step"], shard)
        if not file.exists():
            raise UserError(
                f"the memory banks of step {state['progress']['step']} are incomplete: there is no {file}. "
                f"Those of {checkpoints.last.name} and {checkpoints.previous.name} are kept"
            )
        if not any(_may_have_rows(bank, shard) for bank in banks.values()):
            continue
        content = checkpoints.open(file)
        _check_belongs(content, state, shard, file)
        try:
            for name, bank in banks.items():
                filled[name] += _copy(content["banks"][name], bank, found[name])
        except (KeyError, TypeError, IndexError, RuntimeError, AttributeError) as error:
            raise UserError(f"{file} contains other memory banks than the configuration of its run") from error
    for name, rows in found.items():
        if filled[name] != rows.shape[1]:
            raise UserError(f"the shards in {checkpoints.folder} have {filled[name]} of {rows.shape[1]} rows of {name}")
    return found


def _number_of_shards(state: Mapping[str, Any], checkpoints: Checkpoints) -> int:
    number = state[_SHARDS]
    if not isinstance(number, int) or number < 1:
        raise UserError(f"the checkpoint in {checkpoints.folder} has no number of shards, found {shortened(number)}")
    return number


def _may_have_rows(bank: MemoryBank, shard: Share) -> bool:
    """Return whether a shard may have rows of a bank. Shards of the same number of processes are disjoint."""
    if bank.dealt is None or bank.dealt.share.processes != shard.processes:
        return True
    return bank.dealt.share == shard


def _copy(part: Mapping[str, Tensor], bank: MemoryBank, rows_MnE: Tensor) -> int:
    """Copy the rows of a shard that a bank holds to their places in it, and return how many these are."""
    samples = part["samples"]
    if bank.dealt is None:
        rows_MnE[:, samples] = part["rows"]
        return len(samples)
    samples = samples.to(bank.dealt.samples.device)
    owned, places = bank.dealt.owns(samples).cpu(), bank.dealt.rows_of(samples).cpu()
    rows_MnE[:, places[owned]] = part["rows"][:, owned]
    return int(owned.sum())


def _every(share: Share) -> Iterator[Share]:
    return (Share(number, share.processes) for number in range(share.processes))


def _file(checkpoints: Checkpoints, step: int, share: Share) -> Path:
    return checkpoints.folder / f"step-{step}-shard-{share.number + 1}-of-{share.processes}{SHARD_SUFFIX}"


def _identity(state: Mapping[str, Any], share: Share) -> dict[str, Any]:
    """Return what a shard and its checkpoint have in common, and which shard it is."""
    return {"step": state["progress"]["step"], "options": state["notes"].get("options"), "shard": list(share)}


def _check_belongs(content: Mapping[str, Any], state: Mapping[str, Any], share: Share, file: Path) -> None:
    """Raise UserError if a shard is not that of the checkpoint with a state."""
    for name, expected in _identity(state, share).items():
        found = content.get(name)
        if found != expected:
            what = "other options" if name == "options" else f"{name} {found} instead of {expected}"
            raise UserError(f"{file} and the checkpoint of its step do not belong together: it was written with {what}")

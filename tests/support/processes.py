"""Processes that train together, forked with the variables that ``torchrun`` sets."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.context import ForkProcess

import torch


def fork_together(count: int, work: Callable[[int], object]) -> list[ForkProcess]:
    """Start ``count`` processes, each of which calls ``work`` with its rank.

    They are forked because a new interpreter takes seconds to import PyTorch.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_one_of, args=(rank, count, port, work)) for rank in range(count)]
    for worker in workers:
        worker.start()
    return workers


def _one_of(rank: int, count: int, port: int, work: Callable[[int], object]) -> None:
    if count > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
        os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    work(rank)


def exit_codes(workers: list[ForkProcess]) -> list[int | None]:
    """Wait for the end of all processes."""
    for worker in workers:
        worker.join(timeout=300)
        worker.kill()
    return [worker.exitcode for worker in workers]

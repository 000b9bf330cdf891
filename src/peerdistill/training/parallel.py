"""Several processes that train together: each has a share of the images, and all compute the loss of the whole batch.

The gradient of a weight is the mean over processes, which ``DistributedDataParallel`` computes for the cohort. It is
exact: a gathered tensor passes the sum of the gradients of all processes back to the process that it came from. Each of
W processes computes the same loss, so this sum is W times the gradient, and the mean over processes is the gradient. A
loss that is summed over shares (:meth:`FabricExchange.total`) is gathered too, which gives the same factor W.

Axes: M peers, B batch, C classes, D feature width.
"""

import atexit
import inspect
import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from peerdistill.cohort import CohortOutput, pooled
from peerdistill.errors import UserError
from peerdistill.processes import ANOTHER_FAILED, is_restarted
from peerdistill.shares import Share
from peerdistill.terms.exchange import Exchange

# By default, every forward pass sends all buffers from the first process to the others. PyTorch has renamed the option.
_NAMES = inspect.signature(DistributedDataParallel).parameters
_FORWARD_SYNC = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"


_LOST = re.compile(r"closed by peer|reset by peer|gloo|NCCL", re.IGNORECASE)


def fabric_for(device: str, precision: Any, devices: int | None = None) -> Fabric:
    """Return Fabric for one process, or for as many as train together; ``launch()`` starts the others.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        precision: Number format of the forward pass.
        devices: Number of processes to start; None: one, or those that ``torchrun`` has started.

    Raises:
        UserError: ``torchrun`` has started another number of processes, or there is no GPU for each of them.
    """
    started = int(os.environ.get("WORLD_SIZE", "0"))
    count = devices or started or 1
    if started and count != started:
        raise UserError(f"devices is {devices}, but torchrun has started {started} processes: leave out devices")
    here = int(os.environ.get("LOCAL_WORLD_SIZE") or count)  # fewer than all if several machines train together
    _check_gpus(device, here)
    if count == 1:
        return Fabric(accelerator=device, devices=1, precision=precision)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would announce itself
    _explain_kill()
    # The differentiable all_gather that Fabric calls is deprecated by recent PyTorch; its successor is not public yet.
    warnings.filterwarnings("ignore", message=r"torch\.distributed\.nn\.functional\.all_gather is deprecated")
    if is_restarted() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        _join_again("nccl" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "gloo")
    atexit.register(_leave)
    no_sync: dict[str, Any] = {_FORWARD_SYNC: False}
    strategy = _GradientExchange(**no_sync)
    machines = count // here
    return Fabric(accelerator=device, devices=here, num_nodes=machines, strategy=strategy, precision=precision)


def _check_gpus(device: str, processes: int) -> None:
    """Raise UserError if several processes of this machine would share a GPU."""
    found = None
    if device in ("auto", "cuda") and torch.cuda.is_available():
        found = torch.cuda.device_count()
    elif device in ("auto", "mps") and torch.backends.mps.is_available():
        found = 1
    if found is not None and processes > found > 0:
        raise UserError(
            f"{processes} processes need a GPU each, and this machine has {found}: set devices to {found} or "
            "device to cpu"
        )


class _GradientExchange(DDPStrategy):
    """Exchanges gradients of modules that learn. ``DistributedDataParallel`` refuses others, such as an EMA."""

    def setup_module(self, module: nn.Module) -> Any:
        """Return the module with the exchange, or as it is if none of its weights learns."""
        learns = any(parameter.requires_grad for parameter in module.parameters())
        return super().setup_module(module) if learns else module


def _explain_kill() -> None:
    """Let Fabric say why it kills this process. It does so if a process that it started has failed, in any exchange."""
    observer = logging.getLogger("lightning_fabric.strategies.launchers.subprocess_script")
    observer.setLevel(logging.INFO)
    observer.addFilter(_in_our_words)


def _in_our_words(record: logging.LogRecord) -> bool:
    record.msg = (
        f"peerdistill: {ANOTHER_FAILED}, so all are ended; its error is above, or perhaps memory was exhausted. "
        "The last checkpoint is kept"
    )
    record.args = ()
    return True


def _leave() -> None:
    """Close the connections: threads of gloo that still run at the end of a process abort it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _join_again(backend: str) -> None:
    """Connect the processes that ``torchrun`` has started again.

    By default their store still has the addresses of the processes before, which hang the connection (torch 2.14), so
    each attempt gets names of its own.
    """
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    attempt = PrefixStore(f"attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group(backend, store=attempt, rank=rank, world_size=count)


class FabricExchange(Exchange):
    """The exchange of several processes.

    Args:
        fabric: Knows the processes.
    """

    def __init__(self, fabric: Fabric):
        self._fabric = fabric
        self._shares = [Share(rank, fabric.world_size) for rank in range(fabric.world_size)]

    def whole_output(self, out: CohortOutput, samples: int) -> CohortOutput:
        """Return the output for the whole batch: logits, features, pooled stem and teacher in one exchange."""
        columns = list(_columns(out))
        rows = self._whole_rows(torch.cat(columns, dim=1), samples)
        return _output(out, iter(rows.split([part.shape[1] for part in columns], dim=1)))

    def whole(
        self, values: Float[Tensor, "peers own classes"], samples: int
    ) -> Float[Tensor, "peers {samples} classes"]:
        """Return values for the whole batch."""
        return _by_peer(self._whole_rows(_by_sample(values), samples), len(values))

    def share(self, samples: int) -> slice | None:
        """Return the share of this process; None if there are fewer samples than processes."""
        return self._shares[self._fabric.global_rank].of(samples) if samples >= len(self._shares) else None

    def total(self, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return the sum over processes."""
        return self._gathered(value).sum()

    def reduced(self, values: Tensor) -> Tensor:
        """Return the sum over processes, without a gradient."""
        found = self._fabric.all_reduce(values, reduce_op="sum")
        assert isinstance(found, Tensor)
        return found

    def _whole_rows(self, rows: Float[Tensor, "own width"], samples: int) -> Float[Tensor, "{samples} width"]:
        """Return the rows of all processes in the order of the batch."""
        sizes = [len(range(samples)[share.of(samples)]) for share in self._shares]
        padded = F.pad(rows, (0, 0, 0, max(sizes) - len(rows)))  # every process must send equally many
        parts = self._gathered(padded).unbind()
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def _gathered(self, values: Tensor) -> Float[Tensor, "processes ..."]:
        found = self._fabric.all_gather(values, sync_grads=values.requires_grad)
        assert isinstance(found, Tensor)
        return found


class ProcessGroup:
    """What the processes of a training agree on beside losses and gradients. Of a single process: nothing.

    Args:
        fabric: Knows the processes; it is launched.
    """

    def __init__(self, fabric: Fabric):
        self._fabric = fabric
        # On the CPU also for GPUs: the host must not wait for the device.
        self._votes: Any = distributed.new_group(backend="gloo") if self.is_shared else None

    @property
    def share(self) -> Share:
        """The share of this process."""
        return Share(self._fabric.global_rank, self._fabric.world_size)

    @property
    def is_shared(self) -> bool:
        """Whether there are several processes."""
        return self._fabric.world_size > 1

    def has_lost_one(self, error: RuntimeError) -> bool:
        """Return whether an error of an exchange says that another process has ended."""
        return self.is_shared and bool(_LOST.search(str(error)))

    def largest(self, number: int) -> int:
        """Return the largest of the numbers of all processes."""
        if self._votes is None:
            return number
        vote = torch.tensor(number)
        distributed.all_reduce(vote, distributed.ReduceOp.MAX, group=self._votes)
        return int(vote)

    def total(self, sums: Tensor) -> Tensor:
        """Return the sum over processes of tensors on the CPU."""
        if self._votes is not None:
            distributed.all_reduce(sums, group=self._votes)
        return sums

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self._votes is not None:
            distributed.barrier(group=self._votes)

    def share_statistics(self, *modules: nn.Module) -> None:
        """Give batch normalisation in all processes the running statistics of the first process.

        Each process has those of its share of the images. In training they have no effect.
        """
        if not self.is_shared:
            return
        for module in modules:
            for part in module.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    for buffer in part.buffers(recurse=False):
                        distributed.broadcast(buffer, src=0)


def synchronise_batch_norm(*modules: nn.Module) -> None:
    """Replace batch normalisation inside modules by that over the images of all processes, which needs GPUs.

    Weights and statistics stay the same tensors, and a layer that several peers share stays one layer.
    """
    from timm.layers.norm_act import convert_sync_batchnorm  # that of PyTorch loses activations in layers of timm

    parents = [parent for module in modules for parent in module.modules()]
    replaced: dict[nn.Module, nn.Module] = {}
    for parent in parents:
        for name, child in parent._modules.items():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                parent._modules[name] = replaced.setdefault(child, convert_sync_batchnorm(child))


def average_gradients(fabric: Fabric, parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their means over processes, in one exchange.

    The parameters of a method are outside ``DistributedDataParallel``. Their gradients differ between processes only
    for losses that are summed over shares.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    means = fabric.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
    assert isinstance(means, Tensor)
    for gradient, mean in zip(gradients, means.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _columns(out: CohortOutput) -> Iterator[Tensor]:
    """Yield the parts of an output as matrices with one row per sample."""
    yield _by_sample(out.logits)
    if isinstance(out.features, Tensor):
        yield _by_sample(out.features)
    else:
        yield from out.features
    yield out.stem if out.stem.ndim == 2 else pooled(out.stem)
    if out.teacher is not None:
        yield from _columns(out.teacher)


def _output(like: CohortOutput, columns: Iterator[Tensor]) -> CohortOutput:
    """Return the output with these parts, in the order and precision in which :func:`_columns` yields them of ``like``.

    The stem is pooled: (B, channels, 1, 1), or (B, channels) if it is one row per sample.
    """
    logits = _by_peer(next(columns), len(like.logits)).to(like.logits.dtype)
    if isinstance(like.features, Tensor):
        features = _by_peer(next(columns), len(like.features)).to(like.features.dtype)
    else:
        features = tuple(next(columns).to(feature.dtype) for feature in like.features)
    stem = next(columns).to(like.stem.dtype)
    stem = stem if like.stem.ndim == 2 else stem[..., None, None]
    teacher = None if like.teacher is None else _output(like.teacher, columns)
    return CohortOutput(logits, features, stem, logits.mean(0), like.images, teacher)


def _by_sample(values: Float[Tensor, "peers batch width"]) -> Float[Tensor, "batch peers_width"]:
    return values.transpose(0, 1).flatten(1)


def _by_peer(rows: Float[Tensor, "batch peers_width"], peers: int) -> Float[Tensor, "{peers} batch width"]:
    samples, width = rows.shape
    return rows.reshape(samples, peers, width // peers).transpose(0, 1)

"""Cohort and method with their optimizer: one optimizer step at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.terms import Method
from peerdistill.terms.method import Loss
from peerdistill.training.batches import IndexedBatch
from peerdistill.training.config import TrainingConfig
from peerdistill.training.ema import LeaderEMA
from peerdistill.training.gradient_graphs import GradientGraphs, is_known
from peerdistill.training.loss_meter import Diverged
from peerdistill.training.memory_format import choose_memory_format
from peerdistill.training.optimizers import RATE_FACTOR, load_optimizer_state, make_optimizer, parameter_groups
from peerdistill.training.parallel import FabricExchange, ProcessGroup, average_gradients, synchronise_batch_norm
from peerdistill.training.schedules import make_schedule
from peerdistill.training.state import divided_state, first_not_finite, load_method


class Learner:
    """Takes optimizer steps, and holds all state that they change.

    Args:
        cohort: The peers.
        method: Computes the loss from their output; its parameters are trained too.
        config: Options of the training.
        fabric: Device and precision.
        steps: Optimizer steps of the whole run, which the schedule spans.

    Attributes:
        ema: The moving average of the leader's weights; None without ``config.ema``.
    """

    def __init__(self, cohort: Cohort, method: Method, *, config: TrainingConfig, fabric: Fabric, steps: int):
        self.cohort = cohort
        self.method = method
        self._config = config
        self._fabric = fabric
        if config.sync_batchnorm and fabric.world_size > 1:
            synchronise_batch_norm(cohort, *(part for part in method.modules() if isinstance(part, Cohort)))
        layout = choose_memory_format(config.memory_format, cohort, fabric.device, config.precision)
        for module in filter(None, (cohort, method, method.teacher)):
            module.to(memory_format=layout)
        fabric.to_device(method)
        method.batches_per_step = config.accumulate
        if fabric.world_size > 1:
            method.exchange = FabricExchange(fabric)
        # Fabric does not clip the gradients of a fused optimizer that has to unscale them.
        fused = not (config.clip_norm and config.precision == "16-mixed")
        groups = parameter_groups(cohort, method.parameters(), config.optimizer)
        optimizer = make_optimizer(groups, config.optimizer, config.scaled_lr, fused=fused)
        warmup_steps = round(config.schedule.warmup * steps)
        self._schedule = make_schedule(optimizer, config.schedule, steps=steps, warmup_steps=warmup_steps)
        self._prepared, self._optimizer = fabric.setup(cohort, optimizer)
        self._graphs = GradientGraphs(self._whole_gradient, self._parameters) if self._may_use_graphs() else None
        self.ema = LeaderEMA(cohort, config.ema) if config.ema else None
        self._others: dict[str, nn.Module] = {}
        if self.ema is not None:
            self._others["ema"] = fabric.setup_module(cohort.single(self.ema.network))

    @property
    def lr(self) -> float:
        """Learning rate of the next step, without the multiples of parameter groups."""
        return float(self._schedule.get_last_lr()[0]) / self._optimizer.param_groups[0][RATE_FACTOR]

    def step(self, group: Sequence[IndexedBatch], number: int) -> Loss:
        """Take optimizer step ``number``, counted from 1, with the mean gradient of a group of batches.

        Returns:
            The means of the losses of the batches, detached from the graph.
        """
        losses = self._losses(group)
        if self._fabric.world_size > 1:
            average_gradients(self._fabric, self.method.parameters())
        if self._config.clip_norm:
            # A norm that is not finite is noticed by its effect: checking it here would wait for the device.
            self._fabric.clip_gradients(
                self._prepared, self._optimizer, max_norm=self._config.clip_norm, error_if_nonfinite=False
            )
        self._optimizer.step()
        self.method.after_step(self.cohort)
        self._optimizer.zero_grad(set_to_none=True)
        self._schedule.step()
        if self.ema is not None:
            self.ema.update(number)
        return _mean(losses)

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return [*self.cohort.parameters(), *self.method.parameters()]

    def _may_use_graphs(self) -> bool:
        """Return whether a step may be a CUDA graph: all on one GPU, and nothing that the host decides in between."""
        config, fabric = self._config, self._fabric
        alone = fabric.device.type == "cuda" and fabric.world_size == 1
        plain = config.accumulate == 1 and config.precision != "16-mixed"
        modules = filter(None, (self.cohort, self.method, self.method.teacher))
        return config.cuda_graphs == "auto" and alone and plain and is_known(*modules)

    def _losses(self, group: Sequence[IndexedBatch]) -> list[Loss]:
        """Add the mean gradient of a group of batches to the parameters' gradients, and return the losses."""
        if self._graphs is not None:
            return [self._graphs(batch, self.method.current_weights) for batch in group]
        return [self._backward(batch, number, len(group)) for number, batch in enumerate(group, start=1)]

    def _whole_gradient(self, batch: IndexedBatch) -> Loss:
        return self._backward(batch, number=1, group=1)

    def _backward(self, batch: IndexedBatch, number: int, group: int) -> Loss:
        """Accumulate the gradient of batch ``number`` of a group; processes exchange it after the last one."""
        with self._fabric.no_backward_sync(self._prepared, enabled=number < group):
            with self._own_draws():
                out = self._prepared(batch.images)
            loss = self.method(out, batch.labels, batch.indices, batch.targets)
            self._fabric.backward(loss.total / group)
        return Loss(loss.total.detach(), {name: part.detach() for name, part in loss.parts.items()})

    @contextmanager
    def _own_draws(self) -> Iterator[None]:
        """Draw dropout and the like differently in each of several processes; other draws stay the same in all."""
        if self._fabric.world_size == 1:
            yield
            return
        device = self._fabric.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(2**62, ())) + self._fabric.global_rank)
            yield

    def share_statistics(self, processes: ProcessGroup) -> None:
        """Give batch normalisation in all processes the running statistics of the first process."""
        averages = [] if self.ema is None else [self.ema.network]
        processes.share_statistics(self.cohort, self.method, *averages)

    @property
    def networks(self) -> tuple[nn.Module, nn.Module, Mapping[str, nn.Module]]:
        """What an evaluator is called with: the peers, their ensemble and, if there is one, the EMA."""
        return self._prepared, self.method.ensemble, self._others

    def check_finite(self, step: int) -> None:
        """Raise Diverged if a weight or other state is not finite after ``step``."""
        if not nn.utils.get_total_norm(self._parameters).isfinite():
            raise Diverged(f"the weights are not finite after step {step}")
        for module in (self.cohort, self.method):
            parameters = dict(module.named_parameters(remove_duplicate=False))
            others = {name: part for name, part in module.state_dict().items() if name not in parameters}
            if name := first_not_finite(others):
                raise Diverged(f"{name} is not finite after step {step}")

    def state_dict(self) -> dict[str, Any]:
        """Return the state. The ensemble has its own entry: evaluation needs no terms."""
        ensemble, terms = divided_state(self.method)
        return {
            "cohort": self.cohort.state_dict(),
            "method": terms,
            "ensemble": ensemble,
            **({} if self.ema is None else {"ema": self.ema.state_dict()}),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state_dict` returned."""
        self.cohort.load_state_dict(state["cohort"])
        load_method(self.method, state)
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        load_optimizer_state(self._optimizer, state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._fabric.strategy.precision.load_state_dict(state["precision"])


def _mean(losses: Sequence[Loss]) -> Loss:
    """Return the mean of each part, without waiting for the device."""
    rows = torch.stack([torch.stack([loss.total, *loss.parts.values()]) for loss in losses])
    total, *parts = rows.mean(0)
    return Loss(total, dict(zip(losses[0].parts, parts, strict=True)))

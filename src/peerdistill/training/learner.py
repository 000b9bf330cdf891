"""Cohort and method with their optimizer: one optimizer step at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.rng import Draws, keyed_seed
from peerdistill.terms import MeanEnsemble, Method
from peerdistill.terms.method import Loss
from peerdistill.training.batches import IndexedBatch
from peerdistill.training.config import TrainingConfig
from peerdistill.training.ema import LeaderEMA
from peerdistill.training.gradient_graphs import GradientGraphs, is_known
from peerdistill.training.growth import grow_peers
from peerdistill.training.loss_meter import Diverged
from peerdistill.training.memory_format import choose_memory_format
from peerdistill.training.optimizers import (
    RATE_FACTOR,
    complete_momentum,
    load_optimizer_state,
    make_optimizer,
    parameter_groups,
)
from peerdistill.training.parallel import FabricExchange, ProcessGroup, average_gradients, synchronise_batch_norm
from peerdistill.training.schedules import make_schedule
from peerdistill.training.state import divided_state, first_not_finite, load_method


class _Place(NamedTuple):
    """Where a batch belongs: optimizer step ``step``, whose group has ``group`` batches. Numbers count from 1."""

    step: int
    number: int
    group: int


Backward = Callable[[IndexedBatch, _Place], Loss]
"""Accumulates the gradient of a batch."""


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
        self._graphs = self._graphs_of(self._backward, self._parameters)
        self.ema = LeaderEMA(cohort, config.ema) if config.ema else None
        alone = cohort.single(cohort.networks[-1]) if config.has_leader_steps else None
        self._alone = None if alone is None else fabric.setup_module(alone)
        self._leader_graphs = self._graphs_of(self._leader_backward, cohort.networks[-1].parameters())
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
        losses = self._losses(group, number, self._backward, self._graphs)
        if self._fabric.world_size > 1:
            average_gradients(self._fabric, self.method.parameters())
        self._update(number)
        self.method.after_step(self.cohort)
        return _mean(losses)

    def leader_step(self, group: Sequence[IndexedBatch], number: int) -> Loss:
        """Take an optimizer step as :meth:`step`, in which only the leader learns, from labels alone.

        The branches of other peers do not run. Their weights, momentum and running statistics do not change, and no
        state of the method changes. ``config.has_leader_steps`` must be true.
        """
        losses = self._losses(group, number, self._leader_backward, self._leader_graphs)
        if self._fabric.world_size > 1:
            average_gradients(self._fabric, self.cohort.networks[-1].parameters())
        self._update(number)
        return _mean(losses)

    def grow_peers(self) -> None:
        """Let the other peers start from the leader's weights; their momentum starts at 0.

        The leader's momentum would move all copies in the same direction, so it is not copied.
        """
        grow_peers(self.cohort, self._config.growth, self._config.seed)
        complete_momentum(self._optimizer)
        self.method.start_from(self.cohort)

    def _update(self, number: int) -> None:
        """Change the weights that have gradients, the learning rate and the moving average."""
        if self._config.clip_norm:
            # A norm that is not finite is noticed by its effect: checking it here would wait for the device.
            self._fabric.clip_gradients(
                self._prepared, self._optimizer, max_norm=self._config.clip_norm, error_if_nonfinite=False
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._schedule.step()
        if self.ema is not None:
            self.ema.update(number)

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

    def _graphs_of(self, backward: Backward, parameters: Iterable[nn.Parameter]) -> GradientGraphs | None:
        if not self._may_use_graphs():
            return None
        alone = _Place(step=0, number=1, group=1)  # a graph is the same for every step
        return GradientGraphs(lambda batch: backward(batch, alone), parameters)

    def _losses(
        self, group: Sequence[IndexedBatch], step: int, backward: Backward, graphs: GradientGraphs | None
    ) -> list[Loss]:
        """Add the mean gradient of a group of batches to the parameters' gradients, and return the losses."""
        if graphs is not None:
            return [graphs(batch, self.method.current_weights) for batch in group]
        return [backward(batch, _Place(step, number, len(group))) for number, batch in enumerate(group, start=1)]

    def _backward(self, batch: IndexedBatch, place: _Place) -> Loss:
        """Accumulate the gradient of a batch; processes exchange that of the group after its last batch."""
        with self._fabric.no_backward_sync(self._prepared, enabled=place.number < place.group):
            with self._own_draws(place):
                out = self._prepared(batch.images)
            loss = self.method(out, batch.labels, batch.indices, batch.targets)
            self._fabric.backward(loss.total / place.group)
        return _detached(loss)

    def _leader_backward(self, batch: IndexedBatch, place: _Place) -> Loss:
        """Accumulate the gradient of the leader alone; processes exchange that of the group after its last batch."""
        assert self._alone is not None
        with self._fabric.no_backward_sync(self._alone):
            with self._own_draws(place):
                out = self._alone(batch.images)
            loss = self.method.leader_loss(out, batch.labels, batch.indices, batch.targets)
            self._fabric.backward(loss.total / place.group)
        return _detached(loss)

    @contextmanager
    def _own_draws(self, place: _Place) -> Iterator[None]:
        """Draw dropout and the like differently in each of several processes; other draws stay the same in all."""
        if self._fabric.world_size == 1:
            yield
            return
        device = self._fabric.device
        # A key, not a draw: those of the loss, such as negatives, then stay those of a single process.
        seed = keyed_seed(Draws.FORWARD_PASS, self._config.seed, place.step, place.number, self._fabric.global_rank)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def share_statistics(self, processes: ProcessGroup) -> None:
        """Give batch normalisation in all processes the running statistics of the first process."""
        averages = [] if self.ema is None else [self.ema.network]
        processes.share_statistics(self.cohort, self.method, *averages)

    @property
    def networks(self) -> tuple[nn.Module, nn.Module, Mapping[str, nn.Module]]:
        """What an evaluator is called with: the peers, their ensemble and, if there is one, the EMA."""
        return self._prepared, self.method.ensemble, self._others

    @property
    def leader_networks(self) -> tuple[nn.Module, nn.Module, Mapping[str, nn.Module]]:
        """The same for the leader as the only peer, which is its own ensemble."""
        assert self._alone is not None
        return self._alone, MeanEnsemble(), self._others

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


def _detached(loss: Loss) -> Loss:
    return Loss(loss.total.detach(), {name: part.detach() for name, part in loss.parts.items()})


def _mean(losses: Sequence[Loss]) -> Loss:
    """Return the mean of each part, without waiting for the device."""
    rows = torch.stack([torch.stack([loss.total, *loss.parts.values()]) for loss in losses])
    total, *parts = rows.mean(0)
    return Loss(total, dict(zip(losses[0].parts, parts, strict=True)))

"""Any classifier as a backbone: its forward pass is split where a single tensor is passed from one part to the next."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from peerdistill.backbones.adapters.graph import ForwardPass, Part, Program, UntraceableError, depth
from peerdistill.backbones.backbone import Backbone, Stage
from peerdistill.errors import UserError

# Shares of the forward cost after which early and late branches part. Released code has no branches of these networks.
_EARLY, _LATE = Fraction(1, 2), Fraction(3, 4)


@dataclass(frozen=True)
class TracedStage(Stage):
    """A stage of a traced forward pass; ``modules`` may also name parameters and buffers.

    There is one program for each mode because tracing fixes the value of ``self.training`` in code outside blocks.

    Attributes:
        evaluation: Program for evaluation mode.
        training: Program for training mode.
    """

    evaluation: Program
    training: Program

    def __call__(self, network: nn.Module, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Run this part of ``network`` on ``x``."""
        run = self.training if network.training else self.evaluation
        return run(network, x)

    def frozen(self) -> Stage:
        """Return the stage with the program for evaluation mode in both modes."""
        return replace(self, training=self.evaluation)


@dataclass(frozen=True)
class WholeStage(Stage):
    """The whole forward pass up to the classifier's input, for networks that cannot be split.

    Attributes:
        classifier: Attribute name of the classifier.
    """

    classifier: str

    def __call__(self, network: nn.Module, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch width"]:
        """Return the input of the classifier in a forward pass of ``network``."""
        inputs_of_classifier = []
        classifier = network.get_submodule(self.classifier)
        hook = classifier.register_forward_pre_hook(lambda _, inputs: inputs_of_classifier.append(inputs[0]))
        try:
            network(x)
        finally:
            hook.remove()
        if not inputs_of_classifier:
            raise UserError(f"the network's forward pass does not call the classifier '{self.classifier}'")
        return inputs_of_classifier[-1]


def split(
    name: str,
    make: Callable[[], nn.Module],
    classifier: str | None,
    image_shape: tuple[int, int, int],
    *,
    example: nn.Module | None = None,
) -> Backbone:
    """Return a backbone for the networks that ``make`` returns.

    Args:
        name: Name of the backbone.
        make: Makes the network with fresh weights.
        classifier: Attribute name of the classifier, a linear layer. The default is the last linear layer.
        image_shape: Channels, height and width of the images.
        example: A network that ``make`` returned, used to find its structure. By default one is made.

    Raises:
        UserError: If the network does not accept such images, or its classifier is not a linear layer that returns the
            logits.
    """
    # Only its structure matters, so the caller's random numbers must not depend on it.
    with torch.random.fork_rng(devices=[]):
        network = make() if example is None else example
    classifier = _last_linear(name, network) if classifier is None else classifier
    _check_classifier(name, network, classifier)
    backbone = Backbone(name, make, (), classifier, share_until="", image_shape=image_shape)
    try:
        stages, costs = _stages(name, network, classifier, image_shape)
    except UntraceableError as error:
        _check_whole(name, network, classifier, image_shape)
        stage = WholeStage("network", (), classifier)
        return replace(backbone, stages=(stage,), share_until=stage.name, unsplittable=str(error))
    early, late = (_nearest(stages, costs, share) for share in (_EARLY, _LATE))
    return replace(backbone, stages=stages, share_until=early, share_until_late=late)


def _last_linear(name: str, network: nn.Module) -> str:
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"backbone {name} has no linear layer to use as the classifier")
    return linear[-1]


def _check_classifier(name: str, network: nn.Module, classifier: str) -> None:
    modules = dict(network.named_modules())
    if classifier not in modules:
        raise UserError(f"backbone {name} has no module '{classifier}' to use as the classifier")
    if not isinstance(modules[classifier], nn.Linear):
        kind = type(modules[classifier]).__name__
        raise UserError(f"backbone {name} needs a linear layer as the classifier, but '{classifier}' is of type {kind}")


def _stages(
    name: str, network: nn.Module, classifier: str, image_shape: tuple[int, int, int]
) -> tuple[tuple[TracedStage, ...], list[int]]:
    """Return the stages and their forward costs in FLOPs for two images."""
    evaluation, training = (ForwardPass(network.train(mode), classifier) for mode in (False, True))
    on_meta = deepcopy(network).to("meta").eval()
    _check_images(name, on_meta, torch.zeros(2, *image_shape, device="meta"))
    cuts = [cut for cut in evaluation.cuts if cut in training.cuts]
    parts = evaluation.parts(cuts)
    costs, ends = _whole_tensors(_runs(parts, on_meta, image_shape))
    groups = _joined(costs)
    names = [min((parts[end].name for end in ends[first:last]), key=depth) for first, last in groups]
    cuts = [cuts[ends[last - 1]] for _, last in groups[:-1]]
    stages = tuple(
        TracedStage(name, part.modules, part.program, in_training.program)
        for name, part, in_training in zip(names, evaluation.parts(cuts), training.parts(cuts), strict=True)
    )
    return stages, [sum(costs[first:last]) for first, last in groups]


class _Run(NamedTuple):
    """The result of running a part: its cost, and whether its output is a single tensor."""

    flops: int
    is_tensor: bool


def _runs(parts: Sequence[Part], on_meta: nn.Module, image_shape: tuple[int, int, int]) -> list[_Run]:
    """Run the parts in order on a batch of two images on the meta device."""
    x: Any = torch.zeros(2, *image_shape, device="meta")
    runs = []
    for part in parts:
        with FlopCounterMode(display=False) as counter:
            x = part.program(on_meta, x)
        runs.append(_Run(counter.get_total_flops(), isinstance(x, Tensor)))
    return runs


def _whole_tensors(runs: Sequence[_Run]) -> tuple[list[int], list[int]]:
    """Merge parts whose output is not a tensor with the next one; return costs and the last part of each group."""
    ends = [number for number, run in enumerate(runs) if run.is_tensor]
    starts = [0, *(end + 1 for end in ends[:-1])]
    costs = [sum(run.flops for run in runs[start : end + 1]) for start, end in zip(starts, ends, strict=True)]
    return costs, ends


def _joined(costs: Sequence[int]) -> list[tuple[int, int]]:
    """Group each part that has a cost with the free ones after it: a normalisation joins its convolution."""
    starts = [0, *(number for number, cost in enumerate(costs) if cost and any(costs[:number]))]
    return list(pairwise([*starts, len(costs)]))


def _nearest(stages: Sequence[Stage], costs: Sequence[int], share: Fraction) -> str:
    """Return the stage, other than the last, after which the cumulative cost is nearest to a share of the total."""
    if len(stages) == 1:
        return stages[0].name
    spent = accumulate(costs[:-1])
    nearest, _ = min(enumerate(spent), key=lambda numbered: abs(numbered[1] - share * sum(costs)))
    return stages[nearest].name


def _check_images(name: str, network: nn.Module, images: Tensor) -> Tensor:
    """Return the network's output for ``images``; raise UserError if the network fails."""
    try:
        return network(images)
    except Exception as error:  # the network's own code may raise anything
        shape = " x ".join(map(str, images.shape[1:]))
        raise UserError(f"backbone {name} does not accept images of {shape}: {' '.join(str(error).split())}") from error


@torch.no_grad()
def _check_whole(name: str, network: nn.Module, classifier: str, image_shape: tuple[int, int, int]) -> None:
    with torch.random.fork_rng(devices=[]):
        images = torch.randn(2, *image_shape)
    logits = _check_images(name, network.eval(), images)
    features = WholeStage("network", (), classifier)(network, images)
    if not (isinstance(logits, Tensor) and torch.equal(network.get_submodule(classifier)(features), logits)):
        raise UserError(f"backbone {name} cannot be a peer: its classifier '{classifier}' does not return its logits")

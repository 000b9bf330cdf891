"""Any classifier as a backbone: its forward pass is cut where a single tensor passes from one part to the next."""

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

from peerdistill.backbones.backbone import Backbone, Stage
from peerdistill.backbones.cutting import ForwardPass, Part, depth
from peerdistill.backbones.tracing import Program, UntraceableError
from peerdistill.errors import UserError

# Shares of the forward cost after which branches part. No released code names a stage of these networks.
_EARLY, _LATE = Fraction(1, 2), Fraction(3, 4)


@dataclass(frozen=True)
class TracedStage(Stage):
    """A part of a traced forward pass; ``modules`` may name parameters and buffers too.

    Attributes:
        evaluation: What it computes in evaluation mode.
        training: And in training mode: code outside of blocks may ask for the mode, which tracing answers for good.
    """

    evaluation: Program
    training: Program

    def __call__(self, network: nn.Module, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Run this part of ``network`` on ``x``."""
        run = self.training if network.training else self.evaluation
        return run(network, x)


@dataclass(frozen=True)
class WholeStage(Stage):
    """A whole forward pass up to the classifier's input, for networks that can't be split.

    Attributes:
        classifier: Attribute name of the classifier.
    """

    classifier: str

    def __call__(self, network: nn.Module, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch width"]:
        """Return what ``network`` hands to its classifier."""
        handed = []
        classifier = network.get_submodule(self.classifier)
        hook = classifier.register_forward_pre_hook(lambda _, inputs: handed.append(inputs[0]))
        try:
            network(x)
        finally:
            hook.remove()
        if not handed:
            raise UserError(f"the classifier '{self.classifier}' is no part of the network's forward pass")
        return handed[-1]


def split(
    name: str,
    make: Callable[[], nn.Module],
    classifier: str | None,
    image_shape: tuple[int, int, int],
    *,
    example: nn.Module | None = None,
) -> Backbone:
    """Return the network that ``make`` makes as a backbone.

    Args:
        name: What users call it.
        make: Makes the network with fresh weights.
        classifier: Attribute name of its classifier, a linear layer; by default its last linear layer.
        image_shape: Channels, height and width of the images.
        example: A network that ``make`` has made, to be looked at; by default one more is made.

    Raises:
        UserError: Where the network does not take such images, or its classifier is no linear layer that returns its
            logits.
    """
    # Only its structure is of interest: the caller's random numbers must not depend on that.
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
        raise UserError(f"backbone {name} has no linear layer that could be its classifier")
    return linear[-1]


def _check_classifier(name: str, network: nn.Module, classifier: str) -> None:
    modules = dict(network.named_modules())
    if classifier not in modules:
        raise UserError(f"backbone {name} has no module '{classifier}' that could be its classifier")
    if not isinstance(modules[classifier], nn.Linear):
        kind = type(modules[classifier]).__name__
        raise UserError(f"backbone {name} needs a linear layer as its classifier, '{classifier}' is a {kind}")


def _stages(
    name: str, network: nn.Module, classifier: str, image_shape: tuple[int, int, int]
) -> tuple[tuple[TracedStage, ...], list[int]]:
    """Return the stages and the forward cost of each, in FLOPs for two images."""
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
    """What is learned of a part by running it."""

    flops: int
    is_tensor: bool


def _runs(parts: Sequence[Part], on_meta: nn.Module, image_shape: tuple[int, int, int]) -> list[_Run]:
    """Run the parts one after the other on two images that have a shape and no values."""
    x: Any = torch.zeros(2, *image_shape, device="meta")
    runs = []
    for part in parts:
        with FlopCounterMode(display=False) as counter:
            x = part.program(on_meta, x)
        runs.append(_Run(counter.get_total_flops(), isinstance(x, Tensor)))
    return runs


def _whole_tensors(runs: Sequence[_Run]) -> tuple[list[int], list[int]]:
    """Return the costs of parts that hand on a tensor, and which part each ends with: others go on into the next."""
    ends = [number for number, run in enumerate(runs) if run.is_tensor]
    starts = [0, *(end + 1 for end in ends[:-1])]
    costs = [sum(run.flops for run in runs[start : end + 1]) for start, end in zip(starts, ends, strict=True)]
    return costs, ends


def _joined(costs: Sequence[int]) -> list[tuple[int, int]]:
    """Return runs of parts of which only the first costs something: a normalisation belongs to its convolution."""
    starts = [0, *(number for number, cost in enumerate(costs) if cost and any(costs[:number]))]
    return list(pairwise([*starts, len(costs)]))


def _nearest(stages: Sequence[Stage], costs: Sequence[int], share: Fraction) -> str:
    """Return the stage at whose end the forward cost spent is nearest to a share of all; never the last stage."""
    if len(stages) == 1:
        return stages[0].name
    spent = accumulate(costs[:-1])
    nearest, _ = min(enumerate(spent), key=lambda numbered: abs(numbered[1] - share * sum(costs)))
    return stages[nearest].name


def _check_images(name: str, network: nn.Module, images: Tensor) -> Tensor:
    """Return what ``network`` says of ``images``, or its complaint in a sentence."""
    try:
        return network(images)
    except Exception as error:  # a network's own complaint may be of any kind
        shape = " x ".join(map(str, images.shape[1:]))
        raise UserError(f"backbone {name} does not take images of {shape}: {' '.join(str(error).split())}") from error


@torch.no_grad()
def _check_whole(name: str, network: nn.Module, classifier: str, image_shape: tuple[int, int, int]) -> None:
    with torch.random.fork_rng(devices=[]):
        images = torch.randn(2, *image_shape)
    logits = _check_images(name, network.eval(), images)
    features = WholeStage("network", (), classifier)(network, images)
    if not (isinstance(logits, Tensor) and torch.equal(network.get_submodule(classifier)(features), logits)):
        raise UserError(f"backbone {name} can't be a peer: its classifier '{classifier}' does not return its logits")

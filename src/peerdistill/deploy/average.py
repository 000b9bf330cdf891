"""The average of the peers: one plain network with the mean of their weights ("model soup")."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from peerdistill.cohort import Cohort
from peerdistill.errors import UserError

_STATISTICS = ("running_mean", "running_var")


def average_of_peers(cohort: Cohort, images: Iterable[Float[Tensor, "batch channels height width"]]) -> nn.Module:
    """Return the mean of the peers' weights as a plain network in evaluation mode.

    Peers that started from the same pretrained weights often average into a network that is better than each of them
    (Wortsman et al., "Model soups", ICML 2022). Peers that started from different random weights do not: their average
    is close to guessing.

    Parameters are averaged. The statistics of batch normalisation are estimated again on ``images``: those of the peers
    do not fit the averaged weights. Layers whose statistics are the same in all peers keep them, as in shared
    or frozen stages. All other buffers are the leader's. The estimate is the mean over the batches, as in
    ``torch.optim.swa_utils.update_bn``, but dropout is off, so the result does not depend on random draws.

    Args:
        cohort: The peers. They are not changed.
        images: Batches of normalised training images, shuffled: batches of a single class would underestimate the
            variance. They are read only if a layer needs them.

    Raises:
        UserError: The peers have different backbones, or there are no images.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> from peerdistill.deploy.average import average_of_peers
        >>> cohort = Cohort("resnet20", classes=10, peers=3, sharing="network")
        >>> average = average_of_peers(cohort, torch.rand(4, 32, 3, 32, 32))  # 4 batches of 32 images
        >>> average(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    _check_same_backbone(cohort)
    averaged = AveragedModel(cohort.networks[0])
    for network in cohort.networks:
        averaged.update_parameters(network)  # other buffers are those of the last one, the leader
    average = averaged.module.eval()
    _estimate_statistics(average, _changed_norms(cohort, average), images)
    return average


def _check_same_backbone(cohort: Cohort) -> None:
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in cohort.networks]
    if any(found != shapes[-1] for found in shapes):
        names = ", ".join(dict.fromkeys(backbone.name for backbone in cohort.backbones))
        raise UserError(f"only peers with the same backbone have an average, and these have {names}")


def _changed_norms(cohort: Cohort, average: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the layers of the average whose running statistics differ between the peers."""

    def differ(name: str) -> bool:
        *others, leader = (network.get_submodule(name) for network in cohort.networks)
        pairs = ((other.get_buffer(kind), leader.get_buffer(kind)) for other in others for kind in _STATISTICS)
        return not all(torch.equal(one, two) for one, two in pairs)

    return [
        layer
        for name, layer in average.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats and differ(name)
    ]


@torch.no_grad()
def _estimate_statistics(
    network: nn.Module, norms: list[nn.modules.batchnorm._BatchNorm], images: Iterable[Tensor]
) -> None:
    """Set the running statistics of ``norms`` to the mean over the batches; all other layers stay in evaluation mode.

    Not ``update_bn``: it also trains dropout and resets every layer.
    """
    if not norms:
        return
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # a mean over all batches
        layer.train()
    batches = 0
    for batch in images:
        network(batch)
        batches += 1
    if not batches:
        raise UserError("the average of the peers needs training images for batch normalisation, and there are none")
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()

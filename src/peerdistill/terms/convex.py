"""The convex combination of the peers' scores that fits the labels best, sample by sample.

Axes: B batch, M peers, C classes; T step lengths that are tried.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from peerdistill.numerics import upcast

# At 16 the cross-entropy is within 1e-6 of the least one for margins of the size that training brings.
_ITERATIONS = 16
_CENTRING = 0.1
_TO_BOUNDARY = 0.99
_HALVINGS = 8


def best_weights(margins_MBC: Float[Tensor, "peers batch classes"]) -> Float[Tensor, "batch peers"]:
    """Return the weights alpha, at least 0 and 1 in all, of the combination with the least cross-entropy.

    ``min_alpha log sum_c exp(sum_m alpha_m u_mc)`` by a primal-dual interior-point method, all samples at once and
    without a look at any value on the host. A step is as long as lowers the barrier function most, or not taken, so
    that sharp bends (large margins) do no harm.

    Args:
        margins_MBC: Scores minus that of the label, ``u_mc = z_mc - z_my``.
    """
    with torch.autocast(margins_MBC.device.type, enabled=False):
        u_BMC = upcast(margins_MBC.detach().transpose(0, 1))
        batch, peers, _ = u_BMC.shape
        alpha_BM = u_BMC.new_full((batch, peers), 1 / peers)
        size_B1 = u_BMC.abs().amax((1, 2))[:, None].clamp(min=1e-3)
        dual_BM = size_B1.expand(-1, peers)
        smallest_B1 = torch.finfo(u_BMC.dtype).eps * size_B1
        for _ in range(_ITERATIONS):
            barrier_B1 = _CENTRING * (alpha_BM * dual_BM).mean(-1, keepdim=True)
            alpha_BM, dual_BM = _stepped(u_BMC, alpha_BM, dual_BM, torch.maximum(barrier_B1, smallest_B1))
    return alpha_BM


def _stepped(u_BMC: Tensor, alpha_BM: Tensor, dual_BM: Tensor, barrier_B1: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights and duals after one Newton step towards the barrier's minimum."""
    p_BC = torch.einsum("bm,bmc->bc", alpha_BM, u_BMC).softmax(-1)
    slope_BM = torch.einsum("bmc,bc->bm", u_BMC, p_BC)
    # The Hessian is the covariance of u under p. Scaled by d, its sum with the barrier's is 1 or more: safe to solve.
    d_BM = (alpha_BM / dual_BM).sqrt()
    root_BMC = (u_BMC - slope_BM[..., None]) * p_BC.sqrt()[:, None] * d_BM[..., None]
    system_BMM = torch.eye(len(u_BMC[0]), dtype=u_BMC.dtype, device=u_BMC.device) + root_BMC @ root_BMC.transpose(1, 2)
    sides_BM2 = torch.stack([d_BM * (slope_BM - barrier_B1 / alpha_BM), d_BM], -1)
    solved_BM2, _ = torch.linalg.solve_ex(system_BMM, sides_BM2)  # no check of errors, which would wait for the device
    down_BM, even_BM = (d_BM[..., None] * solved_BM2).unbind(-1)
    move_BM = even_BM * (down_BM.sum(-1, keepdim=True) / even_BM.sum(-1, keepdim=True)) - down_BM
    dual_move_BM = barrier_B1 / alpha_BM - dual_BM - dual_BM / alpha_BM * move_BM
    alpha_BM = _best_along(u_BMC, alpha_BM, move_BM, barrier_B1)
    return alpha_BM, dual_BM + _longest(dual_BM, dual_move_BM) * dual_move_BM


def _best_along(u_BMC: Tensor, alpha_BM: Tensor, move_BM: Tensor, barrier_B1: Tensor) -> Tensor:
    """Return the weights where the barrier function is least, of a few along a direction and those given."""
    shares_T = torch.cat([0.5 ** torch.arange(_HALVINGS), torch.zeros(1)]).to(alpha_BM)
    tried_BTM = alpha_BM[:, None] + (_longest(alpha_BM, move_BM) * shares_T)[..., None] * move_BM[:, None]
    tried_BTM = tried_BTM / tried_BTM.sum(-1, keepdim=True)
    value_BT = torch.einsum("btm,bmc->btc", tried_BTM, u_BMC).logsumexp(-1) - barrier_B1 * tried_BTM.log().sum(-1)
    return tried_BTM.take_along_dim(value_BT.argmin(-1)[:, None, None], dim=1)[:, 0]


def _longest(value_BM: Tensor, move_BM: Tensor) -> Tensor:
    """Return the length, at most 1, up to which a move leaves every value above 0."""
    lengths_BM = torch.where(move_BM < 0, -value_BM / move_BM, torch.inf)
    return (_TO_BOUNDARY * lengths_BM.amin(-1, keepdim=True)).clamp(max=1)

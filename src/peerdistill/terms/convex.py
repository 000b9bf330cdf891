"""The convex combination of the peers' scores with the lowest cross-entropy, for each sample.

Axes: B batch, M peers, C classes; T step lengths of the line search.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from peerdistill.numerics import upcast, without_autocast

# After 16 iterations the cross-entropy is within 1e-6 of the minimum for margins as they occur in training.
_ITERATIONS = 16
_CENTRING = 0.1
_TO_BOUNDARY = 0.99
_HALVINGS = 8


def best_weights(margins_MBC: Float[Tensor, "peers batch classes"]) -> Float[Tensor, "batch peers"]:
    """Return non-negative weights alpha with sum 1 that minimise the cross-entropy of the combined scores.

    Solves ``min_alpha log sum_c exp(sum_m alpha_m u_mc)`` with a primal-dual interior-point method (Boyd and
    Vandenberghe, Convex Optimization, section 11.7), for all samples at once and without synchronising with the host. A
    line search over a few step lengths, 0 among them, keeps it stable for large margins.

    Args:
        margins_MBC: Scores minus the score of the label, ``u_mc = z_mc - z_my``.
    """
    with without_autocast(margins_MBC):
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
    """Return weights and dual variables after one Newton step towards the minimum of the barrier function."""
    p_BC = torch.einsum("bm,bmc->bc", alpha_BM, u_BMC).softmax(-1)
    slope_BM = torch.einsum("bmc,bc->bm", u_BMC, p_BC)
    # The Hessian is the covariance of u under p. Scaled by d and added to that of the barrier, no eigenvalue is < 1.
    d_BM = (alpha_BM / dual_BM).sqrt()
    root_BMC = (u_BMC - slope_BM[..., None]) * p_BC.sqrt()[:, None] * d_BM[..., None]
    system_BMM = torch.eye(len(u_BMC[0]), dtype=u_BMC.dtype, device=u_BMC.device) + root_BMC @ root_BMC.transpose(1, 2)
    sides_BM2 = torch.stack([d_BM * (slope_BM - barrier_B1 / alpha_BM), d_BM], -1)
    solved_BM2, _ = torch.linalg.solve_ex(system_BMM, sides_BM2)  # unlike solve, does not wait for the device
    down_BM, even_BM = (d_BM[..., None] * solved_BM2).unbind(-1)
    move_BM = even_BM * (down_BM.sum(-1, keepdim=True) / even_BM.sum(-1, keepdim=True)) - down_BM
    dual_move_BM = barrier_B1 / alpha_BM - dual_BM - dual_BM / alpha_BM * move_BM
    alpha_BM = _best_along(u_BMC, alpha_BM, move_BM, barrier_B1)
    return alpha_BM, dual_BM + _longest(dual_BM, dual_move_BM) * dual_move_BM


def _best_along(u_BMC: Tensor, alpha_BM: Tensor, move_BM: Tensor, barrier_B1: Tensor) -> Tensor:
    """Return the weights with the lowest barrier function among a few along a direction and the current ones."""
    shares_T = torch.cat([0.5 ** torch.arange(_HALVINGS), torch.zeros(1)]).to(alpha_BM)
    tried_BTM = alpha_BM[:, None] + (_longest(alpha_BM, move_BM) * shares_T)[..., None] * move_BM[:, None]
    tried_BTM = tried_BTM / tried_BTM.sum(-1, keepdim=True)
    value_BT = torch.einsum("btm,bmc->btc", tried_BTM, u_BMC).logsumexp(-1) - barrier_B1 * tried_BTM.log().sum(-1)
    return tried_BTM.take_along_dim(value_BT.argmin(-1)[:, None, None], dim=1)[:, 0]


def _longest(value_BM: Tensor, move_BM: Tensor) -> Tensor:
    """Return the largest step length, at most 1, that keeps all values above 0."""
    lengths_BM = torch.where(move_BM < 0, -value_BM / move_BM, torch.inf)
    return (_TO_BOUNDARY * lengths_BM.amin(-1, keepdim=True)).clamp(max=1)

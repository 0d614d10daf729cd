"""Attribution: how much of the distance between two models the exchange of each latent removes.

Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) of KL(goal || running + exchange) along the straight
path from no exchange to the exchange of every latent of the pool at dose a, in gates per sample and latent:

    A_bk = - integral_0^a  sum_n f_k(h_n) <dKL_b/dh'_n at scale t, d_k^goal - d_k^running>  dt

Summed over latents it is KL(0) - KL(a) of the sample up to the error of the quadrature: Gauss-Legendre with three
nodes, which is three forward-backward passes however many latents there are.

Shapes: I samples, B of them in a batch, D doses, F latents of the pool, N edited positions of a batch.
"""

from collections.abc import Sequence

import numpy as np
import torch

from rlgen.features.exchange import Exchange, Pair
from rlgen.progress import Progress

NODES = 3


def dose_curve(pair: Pair, exchange: Exchange, samples: Sequence[int], doses: Sequence[float]) -> torch.Tensor:
    """KL of every sample when the whole pool is exchanged at each dose, nats (I, D)."""
    gate_F = torch.ones_like(exchange.direction_Fd[:, 0])
    kl_ID, place = torch.zeros(len(samples), len(doses), dtype=torch.float64), {i: n for n, i in enumerate(samples)}
    for batch in pair.batches(samples, len(doses)):
        scale_WB = torch.tensor(doses, dtype=gate_F.dtype, device=gate_F.device)[:, None].expand(-1, len(batch))
        kl_WB = pair.run(batch, exchange, gate_F, scale_WB, slopes=False).kl_WB
        kl_ID[[place[i] for i in batch]] = kl_WB.T.double().cpu()
    return kl_ID


def attribute(pair: Pair, exchange: Exchange, dose_of: dict[int, float], nodes: int = NODES) -> torch.Tensor:
    """Attribution of every sample of `dose_of`, in its order, along the path to that sample's dose: nats (I, F)."""
    samples, gate_F = list(dose_of), torch.ones_like(exchange.direction_Fd[:, 0])
    place_W, weight_W = quadrature(nodes)
    share_IF = torch.zeros(len(samples), len(gate_F), dtype=gate_F.dtype)
    place, progress, done = {i: n for n, i in enumerate(samples)}, Progress("attribution", len(samples), "texts"), 0
    for batch in pair.batches(samples, nodes):
        dose_B = torch.tensor([dose_of[i] for i in batch], dtype=gate_F.dtype, device=gate_F.device)
        scale_WB = torch.from_numpy(place_W).to(dose_B)[:, None] * dose_B
        outcome = pair.run(batch, exchange, gate_F, scale_WB, slopes=True)
        slope_Nd = torch.einsum("w,wnd->nd", torch.from_numpy(weight_W).to(dose_B), outcome.slope_WNd.to(dose_B.dtype))
        pull_BF = exchange.pull(outcome.h_Nd, slope_Nd, outcome.row_N, len(batch))
        share_IF[[place[i] for i in batch]] = (-dose_B[:, None] * pull_BF).cpu()
        progress.update(done := done + len(batch))
    return share_IF


def quadrature(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights of Gauss-Legendre quadrature on [0, 1], exact for polynomials of degree 2 * nodes - 1."""
    place_W, weight_W = np.polynomial.legendre.leggauss(nodes)
    return (place_W + 1) / 2, weight_W / 2

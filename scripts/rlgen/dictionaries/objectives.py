"""The losses of a sparse crosscoder: alignment, L1, BatchTopK, and the auxiliary loss that revives dead latents.

All in normalised units: a scaled row has squared norm d on average. Losses are sums over members and coordinates and
means over rows. Shapes: B rows, S latents, M members, d width, D dead latents.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, cross_entropy, mse_loss, normalize


def latent_norms(W_dec_SMd: torch.Tensor) -> torch.Tensor:
    """sum_m ||W_dec[k, m]||_2 per latent (S): the size of a latent's effect per unit of activation."""
    return W_dec_SMd.norm(dim=2).sum(1)


def reconstruction_loss(rows_BMd: torch.Tensor, reconstruction_BMd: torch.Tensor) -> torch.Tensor:
    """sum_m ||h_m - h^_m||^2, mean over rows (a scalar)."""
    return mse_loss(reconstruction_BMd, rows_BMd, reduction="sum") / len(rows_BMd)


def cosine_loss(rows_BMd: torch.Tensor, reconstruction_BMd: torch.Tensor) -> torch.Tensor:
    """2 d sum_m (1 - cos(h_m, h^_m)), mean over rows (a scalar): ||h_m - h^_m||^2 if both had the length sqrt(d)."""
    cosine_BM = cosine_similarity(rows_BMd, reconstruction_BMd, dim=2)
    return 2 * rows_BMd.shape[2] * (1 - cosine_BM).sum() / len(rows_BMd)


def contrastive_loss(rows_BMd: torch.Tensor, reconstruction_BMd: torch.Tensor, temperature: float) -> torch.Tensor:
    """d / (M log B) sum_{m, n} InfoNCE of the reconstruction of member m against activations of member n (a scalar).

    -log( exp(cos(h^_bm, h_bn) / t) / sum_b' exp(cos(h^_bm, h_b'n) / t) ), mean over rows b: among the batch's tokens a
    reconstruction has to find its own, in either model (van den Oord et al., arXiv 1807.03748). Guessing costs M*d, as
    much as explaining nothing costs in squares.
    """
    B, M, d = rows_BMd.shape
    rows_MBd, made_MBd = (normalize(x_BMd, dim=2).transpose(0, 1) for x_BMd in (rows_BMd, reconstruction_BMd))
    own_B = torch.arange(B, device=rows_BMd.device)
    pairs = [(made_MBd[m] @ rows_MBd[n].T) / temperature for m in range(M) for n in range(M)]
    return d / (M * math.log(B)) * sum(cross_entropy(logits_BB, own_B) for logits_BB in pairs)


def alignment_loss(
    kind: str, rows_BMd: torch.Tensor, reconstruction_BMd: torch.Tensor, mse_weight: float, temperature: float
) -> torch.Tensor:
    """What a dictionary minimises besides sparsity (a scalar). All but `mse` add so much of the squared error.

    Without it lengths would be free, and an edit in raw units would mean nothing.
    """
    squared = reconstruction_loss(rows_BMd, reconstruction_BMd)
    if kind == "mse":
        return squared
    if kind == "cosine":
        return cosine_loss(rows_BMd, reconstruction_BMd) + mse_weight * squared
    return contrastive_loss(rows_BMd, reconstruction_BMd, temperature) + mse_weight * squared


def l1_penalty(z_BS: torch.Tensor, norms_S: torch.Tensor) -> torch.Tensor:
    """sum_k z_k * sum_m ||W_dec[k, m]||_2, mean over rows (a scalar): the crosscoder penalty of the paper."""
    return (z_BS @ norms_S).sum() / len(z_BS)


def batchtopk(
    pre_BS: torch.Tensor, norms_S: torch.Tensor, k: int, cut_of: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(z_BS, cut): keep the B*k largest of relu(pre_k) * norms_k over the whole batch, zero the rest.

    `cut` is the smallest kept value. A value that is not positive is never kept, so that a batch with fewer than B*k
    positive values keeps those and cuts at 0. Values equal to the cut are all kept. Gradients reach the kept values
    only, and the selection itself has none. Where these rows are a part of the batch, `cut_of` finds its cut.
    """
    with torch.no_grad():
        weighted_BS = pre_BS.relu() * norms_S
        cut = cut_of(weighted_BS) if cut_of else kth_largest(weighted_BS, len(pre_BS) * k)
        kept_BS = weighted_BS >= cut.clamp(min=torch.finfo(cut.dtype).tiny)
    return torch.where(kept_BS, pre_BS, 0), cut


def kth_largest(values: torch.Tensor, k: int) -> torch.Tensor:
    """The k-th largest of all values (a scalar), k from 1. On the CPU numpy selects several times faster than torch."""
    if values.device.type == "cpu":
        place = values.numel() - k
        return torch.as_tensor(np.partition(values.numpy(), place, axis=None)[place])
    return values.flatten().topk(k, sorted=False).values.min()


def auxiliary_loss(
    residual_BMd: torch.Tensor, pre_BD: torch.Tensor, W_dec_DMd: torch.Tensor, aux_k: int
) -> torch.Tensor:
    """||e - e^||^2 summed over members and coordinates, mean over rows: how badly dead latents model the residual.

    e = h - h^ without gradient, e^ = the reconstruction by each row's `aux_k` largest dead latents, no bias
    (Gao et al., arXiv 2406.04093, section 2.4). The gradient reaches only the D dead latents. Their product is made in
    the type of `W_dec_DMd`, all else in that of the residual.
    """
    z_BD = pre_BD.relu()
    if z_BD.shape[1] > aux_k:
        smallest_B1 = z_BD.topk(aux_k, dim=1, sorted=False).values.amin(1, keepdim=True)
        z_BD = torch.where(z_BD >= smallest_B1, z_BD, 0)
    estimate_BMd = (z_BD.to(W_dec_DMd.dtype) @ W_dec_DMd.flatten(1)).to(residual_BMd.dtype).view_as(residual_BMd)
    return reconstruction_loss(residual_BMd.detach(), estimate_BMd)

"""Statistics of a dictionary's latents: how tuned-specific each is, how often it fires, and whether that is real.

All are computed in the crosscoder's normalised units, before the members' scales are folded in, so that members with
larger activations do not look as if they owned the latents. Sums run in float64. (docs/method.md, section 5.)

Shapes: B rows, S latents, M members (reference first), d width of the residual stream.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import torch

from rlgen.dictionaries.crosscoder import Crosscoder

BETA_FLOOR = 0.05  # |beta_tuned| below this: the latent explains nothing in the tuned model, a ratio says nothing


def nrn(W_dec_SMd: torch.Tensor, ord: int, tuned: int = -1, base: int = 0) -> torch.Tensor:
    """Normalised relative norm ||d_tuned|| / (||d_base|| + ||d_tuned||) per latent, in [0, 1] (paper: ord = 1).

    Near 1 tuned-specific, near 0 base-specific, 0.5 shared; NaN where both decoders are zero.
    """
    norm_SM = W_dec_SMd.double().norm(p=ord, dim=-1)
    return norm_SM[:, tuned] / (norm_SM[:, base] + norm_SM[:, tuned])


def mas(W_dec_SMd: torch.Tensor, ord: int) -> torch.Tensor:
    """Model attribution shares ||d_m|| / sum_m' ||d_m'||, (S, M) with rows that sum to 1 (paper: ord = 1).

    NaN where all decoders of a latent are zero.
    """
    norm_SM = W_dec_SMd.double().norm(p=ord, dim=-1)
    return norm_SM / norm_SM.sum(1, keepdim=True)


def decoder_cosine(W_dec_SMd: torch.Tensor, a: int = 0, b: int = -1) -> torch.Tensor:
    """Cosine between a latent's decoders of members a and b; NaN where one of them is zero."""
    a_Sd, b_Sd = W_dec_SMd[:, a].double(), W_dec_SMd[:, b].double()
    return (a_Sd * b_Sd).sum(-1) / (a_Sd.norm(dim=-1) * b_Sd.norm(dim=-1))


def scaling_sums(z_BS: torch.Tensor, target_BMd: torch.Tensor, direction_Sd: torch.Tensor) -> torch.Tensor:
    """sum_B z_k <y_m, d_k> for a target y_m of every member, (M, S) in float64: the numerator of latent scaling."""
    sums = [(z_BS * (y_Bd @ direction_Sd.T)).sum(0, dtype=torch.float64) for y_Bd in target_BMd.unbind(1)]
    return torch.stack(sums)


def latent_scaling(
    error_MS: torch.Tensor, reconstruction_MS: torch.Tensor, squares_S: torch.Tensor, W_dec_SMd: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """beta_err_MS and beta_rec_MS, from one pass over the rows. Direction throughout: the last member's decoder d_k.

    beta_k,m = argmin_b sum ||y_m - b z_k d_k||^2. For the error e_m = h_m - h^_m the target is e_m + z_k d_k^m, what
    the other latents leave to k; for the reconstruction it is h^_m - b_m:

        beta_err = sum z_k <e_m, d_k> / (sum z_k^2 ||d_k||^2) + <d_k^m, d_k> / ||d_k||^2
        beta_rec = sum z_k <h^_m - b_m, d_k> / (sum z_k^2 ||d_k||^2)

    `error_MS` and `reconstruction_MS` are `scaling_sums` of e_m and of h^_m - b_m, `squares_S` is sum z_k^2.
    NaN for latents that never fire or have no decoder.
    """
    W_dec_SMd = W_dec_SMd.double()
    direction_Sd = W_dec_SMd[:, -1]
    norm2_S = direction_Sd.square().sum(-1)
    own_MS = torch.einsum("smd,sd->ms", W_dec_SMd, direction_Sd) / norm2_S
    energy_S = squares_S * norm2_S
    defined_S = energy_S > 0
    beta_err_MS = (error_MS / energy_S + own_MS).where(defined_S, torch.nan)
    beta_rec_MS = (reconstruction_MS / energy_S).where(defined_S, torch.nan)
    return beta_err_MS, beta_rec_MS


def exclusivity(beta_MS: torch.Tensor) -> torch.Tensor:
    """nu = beta_reference / beta_tuned: near 0 exclusive to the tuned model, near 1 shared, whatever the norms say.

    NaN where |beta_tuned| < BETA_FLOOR.
    """
    return (beta_MS[0] / beta_MS[-1]).where(beta_MS[-1].abs() >= BETA_FLOOR, torch.nan)


@dataclass
class LatentSums:
    """Sums over rows from which every activation statistic follows. One pass, float64."""

    rows: int
    firings_S: torch.Tensor
    code_S: torch.Tensor  # of z, the joint code
    squares_S: torch.Tensor  # of z^2
    readout_MS: torch.Tensor  # of every member's own code ("swap" readout)
    error_MS: torch.Tensor  # of z_k <e_m, d_k>
    reconstruction_MS: torch.Tensor  # of z_k <h^_m - b_m, d_k>


@torch.no_grad()
def sum_latents(crosscoder: Crosscoder, batches: Iterable[torch.Tensor]) -> LatentSums:
    """Run the crosscoder over batches of raw activations (B, M, d). Raises ValueError when there is no row."""
    M, S = len(crosscoder.members), crosscoder.n_latents
    zeros = torch.zeros(M, S, dtype=torch.float64, device=crosscoder.W_dec_SMd.device)
    total = LatentSums(0, *(zeros[0].clone() for _ in range(3)), *(zeros.clone() for _ in range(3)))
    direction_Sd = crosscoder.W_dec_SMd[:, -1]
    for h_BMd in batches:
        z_BS = crosscoder.encode(h_BMd)
        latents_BMd = (z_BS @ crosscoder.W_dec_SMd.flatten(1)).unflatten(-1, crosscoder.b_dec_Md.shape)
        error_BMd = crosscoder.normalise(h_BMd) - latents_BMd - crosscoder.b_dec_Md
        total.rows += len(h_BMd)
        total.firings_S += (z_BS > 0).sum(0)
        total.code_S += z_BS.sum(0, dtype=torch.float64)
        total.squares_S += z_BS.double().square().sum(0)
        for m in range(M):
            total.readout_MS[m] += crosscoder.encode_one(h_BMd[:, m], m).sum(0, dtype=torch.float64)
        total.error_MS += scaling_sums(z_BS, error_BMd, direction_Sd)
        total.reconstruction_MS += scaling_sums(z_BS, latents_BMd, direction_Sd)
    if total.rows == 0:
        raise ValueError("no held-out rows to measure latents on")
    return total


def latent_table(crosscoder: Crosscoder, sums: LatentSums, alive_firings: int) -> pd.DataFrame:
    """One row per latent. `_i` is a member's place in the dictionary; the tuned member is the last.

    alive: fired on at least `alive_firings` of the rows (an untrained latent keeps its initial NRN of 0.5 and would
    fake a peak of shared features). free: the objective lets its decoders differ. frequency: share of rows with
    z > 0. mean_activation, activation_i: mean of the joint code and of member i's own code, normalised units.
    decoder_norm_i and difference_norm ||d_tuned - d_reference||: L2, raw units, as interventions apply them.
    """
    W_dec_SMd, raw_SMd = crosscoder.W_dec_SMd.cpu(), crosscoder.decoder_raw_SMd.cpu().double()
    error_MS, reconstruction_MS = latent_scaling(
        sums.error_MS.cpu(), sums.reconstruction_MS.cpu(), sums.squares_S.cpu(), W_dec_SMd
    )
    firings_S = sums.firings_S.cpu().long()
    columns = {
        "latent": torch.arange(crosscoder.n_latents),
        "alive": firings_S >= alive_firings,
        "free": crosscoder.free_S.cpu(),
        "firings": firings_S,
        "frequency": firings_S.double() / sums.rows,
        "mean_activation": sums.code_S.cpu() / sums.rows,
        "nrn_l1": nrn(W_dec_SMd, 1),
        "nrn_l2": nrn(W_dec_SMd, 2),
        "cosine": decoder_cosine(W_dec_SMd),
        "nu_err": exclusivity(error_MS),
        "nu_rec": exclusivity(reconstruction_MS),
        "difference_norm": (raw_SMd[:, -1] - raw_SMd[:, 0]).norm(dim=-1),
    }
    for m in range(len(crosscoder.members)):
        columns |= {
            f"mas_l1_{m}": mas(W_dec_SMd, 1)[:, m],
            f"mas_l2_{m}": mas(W_dec_SMd, 2)[:, m],
            f"beta_err_{m}": error_MS[m],
            f"beta_rec_{m}": reconstruction_MS[m],
            f"decoder_norm_{m}": raw_SMd[:, m].norm(dim=-1),
            f"activation_{m}": sums.readout_MS[m].cpu() / sums.rows,
        }
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})

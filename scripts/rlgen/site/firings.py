"""How a dictionary's latents fire: the density of their activations, and which of them fire or point together.

Shapes: B rows, S latents, M members, d width of the residual stream.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from rlgen.dictionaries.held_out import load_crosscoder
from rlgen.files import ArtifactError
from rlgen.site.settings import BINS

NEAREST = 5
LATENTS_PER_PRODUCT = 1024

Nearest = Iterator[tuple[int, str, int, int, float]]  # latent, by, rank, other, value


def density(codes: Callable[[], Iterable[torch.Tensor]]) -> pd.DataFrame:
    """One row per latent that fires: latent, largest activation, counts of its firings in `BINS` equal bins above 0.

    The last bin holds the largest activation itself. Rows on which a latent is zero are in no bin.
    """
    largest_S = torch.stack([z_BS.max(0).values for z_BS in codes()]).max(0).values
    counts_SK = torch.zeros(len(largest_S), BINS, dtype=torch.long, device=largest_S.device)
    for z_BS in codes():
        row_F, latent_F = (z_BS > 0).nonzero(as_tuple=True)
        bin_F = (z_BS[row_F, latent_F] / largest_S[latent_F] * BINS).ceil().long().clamp(1, BINS) - 1
        counts_SK += torch.bincount(latent_F * BINS + bin_F, minlength=counts_SK.numel()).view_as(counts_SK)
    fires = largest_S.cpu() > 0
    return pd.DataFrame(
        {
            "latent": fires.nonzero()[:, 0].numpy(),
            "largest": largest_S.cpu()[fires].double().numpy(),
            "counts": counts_SK.cpu()[fires].tolist(),
        }
    )


def fired_rows(codes: Iterable[torch.Tensor]) -> sparse.csr_array:
    """Which latents fire on which rows (R, S), ones and zeros."""
    return sparse.vstack([sparse.csr_array((z_BS > 0).cpu().numpy().astype(np.float32)) for z_BS in codes], "csr")


def together(fired_RS: sparse.csr_array) -> Nearest:
    """The latents that fire most on the same rows: Jaccard of the rows on which two latents fire."""
    columns, total_S = fired_RS.tocsc(), np.asarray(fired_RS.sum(0)).ravel()
    for start in range(0, columns.shape[1], LATENTS_PER_PRODUCT):
        block = columns[:, start : start + LATENTS_PER_PRODUCT]
        both_LS = (block.T @ fired_RS).toarray()
        union_LS = total_S[start : start + LATENTS_PER_PRODUCT, None] + total_S - both_LS
        jaccard_LS = np.divide(both_LS, union_LS, out=np.zeros_like(both_LS), where=union_LS > 0)
        yield from _nearest(jaccard_LS, start, "firing")


def alike(W_dec_SMd: torch.Tensor, fires_S: np.ndarray) -> Nearest:
    """The latents whose decoders of all members, side by side, point the same way: cosine, among those that fire."""
    rows_SD = torch.nn.functional.normalize(W_dec_SMd.flatten(1), dim=1)
    for start in range(0, len(rows_SD), LATENTS_PER_PRODUCT):
        cosine_LS = (rows_SD[start : start + LATENTS_PER_PRODUCT] @ rows_SD.T).cpu().numpy()
        cosine_LS[:, ~fires_S] = 0
        cosine_LS[~fires_S[start : start + LATENTS_PER_PRODUCT]] = 0
        yield from _nearest(cosine_LS, start, "decoder")


def _nearest(value_LS: np.ndarray, start: int, by: str) -> Nearest:
    """The `NEAREST` others with the largest positive values; ties go to the smaller number."""
    for i, value_S in enumerate(value_LS):
        value_S[start + i] = 0
        order = np.argsort(-value_S, kind="stable")[:NEAREST]
        yield from (
            (start + i, by, rank, int(other), float(value_S[other]))
            for rank, other in enumerate(order, start=1)
            if value_S[other] > 0
        )


def load_course(folder: Path, member: str, device: torch.device) -> torch.Tensor:
    """Decoder rows (C, d), raw units, of the last member of a dictionary over checkpoints, which has to be `member`."""
    crosscoder = load_crosscoder(folder, device)
    if crosscoder.members[-1] != member:
        raise ArtifactError(folder, f"its last member is {crosscoder.members[-1]}, expected {member}")
    return crosscoder.decoder_raw_SMd[:, -1]


@torch.no_grad()
def with_course(
    near: pd.DataFrame, rows_Sd: torch.Tensor, latents: Sequence[int], course_Cd: torch.Tensor
) -> pd.DataFrame:
    """Neighbours, and for each of the latents, by `course`, the latent of a course whose row points most like its own.

    `rows_Sd`: decoder rows of the member that both dictionaries have last, raw units; `value` is the cosine.
    """
    normalise = torch.nn.functional.normalize
    own_Ld, course_Cd = normalise(rows_Sd[torch.tensor(latents, dtype=torch.long)], dim=1), normalise(course_Cd, dim=1)
    found = []
    for part_Ld in own_Ld.split(LATENTS_PER_PRODUCT):
        best_L = (part_Ld @ course_Cd.T).max(dim=1)
        found += list(zip(best_L.indices.tolist(), best_L.values.tolist(), strict=True))
    rows = [(latent, "course", 1, other, value) for latent, (other, value) in zip(latents, found, strict=True)]
    table = pd.concat([near, pd.DataFrame(rows, columns=near.columns)] if rows else [near], ignore_index=True)
    return table.sort_values(["latent", "by", "rank"], ignore_index=True)


@torch.no_grad()
def neighbours(codes: Callable[[], Iterable[torch.Tensor]], W_dec_SMd: torch.Tensor) -> pd.DataFrame:
    """Up to `NEAREST` rows per latent that fires and kind of nearness: latent, by, rank, other, value."""
    fired_RS = fired_rows(codes())
    fires_S = np.asarray(fired_RS.sum(0)).ravel() > 0
    rows = [*alike(W_dec_SMd, fires_S), *together(fired_RS)]
    return pd.DataFrame(rows, columns=["latent", "by", "rank", "other", "value"]).sort_values(
        ["latent", "by", "rank"], ignore_index=True
    )

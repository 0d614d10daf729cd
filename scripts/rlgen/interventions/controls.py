"""Control conditions: random sets matched on size, rotations, random directions, dictionary-free mean shifts."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from rlgen.activations.completions import Completions

GROUPS = 4  # a set is matched in so many groups of members of about the same size
WINDOW = 6  # a group of m members draws m of the 6 m latents of the pool that are nearest to it in size
SMALLEST_POOL = 3  # times the set: from fewer candidates all sets are nearly one


@dataclass(frozen=True)
class RandomSets:
    """Random sets of latents like a chosen one, and how far they are from being one set many times.

    pool: latents they are drawn from. mean_jaccard: over pairs of sets. effective: K^2 / sum_ij J_ij, the number of
    wholly different sets that would be as diverse (Leinster and Cobbold 2012, order 2): 1 where all are equal, K where
    no two share a latent. refused: why there are none, in words, else None.
    """

    sets: list[np.ndarray]
    pool: int
    mean_jaccard: float
    effective: float
    refused: str | None


def random_sets(
    size_S: np.ndarray, selected: np.ndarray, able: np.ndarray, n: int, rng: np.random.Generator
) -> RandomSets:
    """`n` sets as large as `selected` and disjoint from it, drawn independently within strata of size.

    `size_S` is what a latent adds on task text, E[f_k] ||v_k||; candidates are those of `able` that add something. The
    chosen latents, sorted by size, form up to 4 groups; each draws as many of the latents that are nearest to its
    median in log size. Refused where the pool is below three times the set.
    """
    pool = np.setdiff1d(able, selected)
    pool = pool[size_S[pool] > 0]
    if len(pool) < SMALLEST_POOL * len(selected):
        words = f"{len(pool)} latents to draw from, fewer than {SMALLEST_POOL} times the set of {len(selected)}"
        return RandomSets([], len(pool), np.nan, np.nan, words)
    log_S = np.log(np.maximum(size_S, np.finfo(float).tiny))
    by_size = selected[np.argsort(-log_S[selected], kind="stable")]
    groups = [group for group in np.array_split(by_size, GROUPS) if len(group)]
    nearest = [pool[np.argsort(np.abs(log_S[pool] - np.median(log_S[g])), kind="stable")] for g in groups]
    sets = [_draw(groups, nearest, rng) for _ in range(n)]
    similar = [len(np.intersect1d(a, b)) / len(np.union1d(a, b)) for a, b in combinations(sets, 2)]
    effective = n**2 / (n + 2 * sum(similar)) if n else np.nan
    return RandomSets(sets, len(pool), float(np.mean(similar)) if similar else np.nan, effective, None)


def _draw(groups: list[np.ndarray], nearest: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """One set: every group's share from its window of free latents, nearest first."""
    drawn: list[int] = []
    for group, candidates in zip(groups, nearest, strict=True):
        free = candidates[~np.isin(candidates, drawn)][: WINDOW * len(group)]
        drawn += rng.choice(free, len(group), replace=False).tolist()
    return np.sort(np.array(drawn, dtype=np.int64))


def rotations(n: int, d: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """`n` random signed permutations of d coordinates: order (n, d) int64, sign (n, d). They keep every length."""
    order = np.stack([rng.permutation(d) for _ in range(n)])
    sign = rng.choice([-1.0, 1.0], size=(n, d)).astype(np.float32)
    return torch.from_numpy(order), torch.from_numpy(sign)


def random_directions(n: int, d: int, norm: float, rng: np.random.Generator) -> torch.Tensor:
    """`n` vectors of length `norm`, uniform in direction, (n, d) float32."""
    raw = rng.standard_normal((n, d))
    return torch.from_numpy((norm * raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32))


def sample_means(
    values_NX: torch.Tensor,
    sample_N: torch.Tensor,
    read: Callable[[torch.Tensor], torch.Tensor] | None = None,
    rows: int | None = None,
) -> torch.Tensor:
    """Means over the positions of each sample, (K, X) float64, samples in rising order.

    With `read` the means of what it makes of so many `rows` at a time, for values that are too wide to be held at once.
    """
    samples, place_N = sample_N.unique(return_inverse=True)
    sum_KX: torch.Tensor | None = None
    rows = rows or max(1, len(values_NX))
    for values_BX, place_B in zip(values_NX.split(rows), place_N.split(rows), strict=True):
        read_BX = (read(values_BX) if read else values_BX).double()
        if sum_KX is None:
            sum_KX = torch.zeros(len(samples), read_BX.shape[1], dtype=torch.float64)
        sum_KX.index_add_(0, place_B, read_BX)
    return sum_KX / torch.bincount(place_N, minlength=len(samples))[:, None]


def mean_shift(reference_Nd: torch.Tensor, tuned_Nd: torch.Tensor, sample_N: torch.Tensor) -> torch.Tensor:
    """E[h_tuned - h_ref], raw units (d,): the mean over a sample's positions, then over samples."""
    return sample_means(tuned_Nd - reference_Nd, sample_N).mean(0).float()


def role_shift(completions: Completions, role: str) -> torch.Tensor:
    """Mean shift of the tuned model on the tasks of one role, raw units (d,)."""
    kept_N = completions.of_role(role)
    return mean_shift(*(x[kept_N] for x in (completions.reference_Nd, completions.tuned_Nd, completions.sample_N)))

"""Control conditions: matched random sets, rotated differences, random directions, dictionary-free mean shifts."""

from dataclasses import dataclass

import numpy as np
import torch

from rlgen.activations.completions import Completions

NEIGHBOURS = 5  # a control latent is drawn among this many nearest candidates


@dataclass(frozen=True)
class MatchedSet:
    """A random set of latents like the selected one, and how like: mean over the set / mean over the selected set."""

    latents: np.ndarray
    frequency_ratio: float
    norm_ratio: float


def matched_sets(
    frequency_S: np.ndarray,
    norm_S: np.ndarray,
    selected: np.ndarray,
    candidates: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> list[MatchedSet]:
    """`n` random sets, disjoint from `selected`, each latent near one selected latent in (log frequency, log norm).

    `norm_S` is the norm that acts in the edit. A set is smaller than `selected` only where too few candidates exist.
    """
    pool = np.setdiff1d(candidates, selected)
    pool = pool[(norm_S[pool] > 0) & (frequency_S[pool] > 0)]
    if len(pool) == 0 or len(selected) == 0:
        return []
    place_SP = np.log(np.stack([np.maximum(frequency_S, 1e-12), np.maximum(norm_S, 1e-12)], axis=1))
    spread_P = np.maximum(place_SP[pool].std(axis=0), 1e-6)
    found = []
    for _ in range(n):
        free, chosen = list(pool), []
        for latent in rng.permutation(selected):
            if not free:
                break
            distance = (((place_SP[free] - place_SP[latent]) / spread_P) ** 2).sum(axis=1)
            nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
            chosen.append(free.pop(int(rng.choice(nearest))))
        latents = np.sort(np.array(chosen))
        found.append(
            MatchedSet(latents, *(float(x[latents].mean() / x[selected].mean()) for x in (frequency_S, norm_S)))
        )
    return found


def rotations(n: int, d: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """`n` random signed permutations of d coordinates: order (n, d) int64, sign (n, d). They keep every length."""
    order = np.stack([rng.permutation(d) for _ in range(n)])
    sign = rng.choice([-1.0, 1.0], size=(n, d)).astype(np.float32)
    return torch.from_numpy(order), torch.from_numpy(sign)


def random_directions(n: int, d: int, norm: float, rng: np.random.Generator) -> torch.Tensor:
    """`n` vectors of length `norm`, uniform in direction, (n, d) float32."""
    raw = rng.standard_normal((n, d))
    return torch.from_numpy((norm * raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32))


def sample_means(values_NX: torch.Tensor, sample_N: torch.Tensor) -> torch.Tensor:
    """Means over the positions of each sample, (K, X) float64, samples in rising order."""
    samples, place_N = sample_N.unique(return_inverse=True)
    sum_KX = torch.zeros(len(samples), values_NX.shape[1], dtype=torch.float64)
    sum_KX.index_add_(0, place_N, values_NX.double())
    return sum_KX / torch.bincount(place_N, minlength=len(samples))[:, None]


def mean_shift(reference_Nd: torch.Tensor, tuned_Nd: torch.Tensor, sample_N: torch.Tensor) -> torch.Tensor:
    """E[h_tuned - h_ref], raw units (d,): the mean over a sample's positions, then over samples."""
    return sample_means(tuned_Nd - reference_Nd, sample_N).mean(0).float()


def role_shift(completions: Completions, role: str) -> torch.Tensor:
    """Mean shift of the tuned model on the tasks of one role, raw units (d,)."""
    kept_N = completions.of_role(role)
    return mean_shift(*(x[kept_N] for x in (completions.reference_Nd, completions.tuned_Nd, completions.sample_N)))


def rescaled(vector_d: torch.Tensor, norm: float) -> torch.Tensor:
    """The same direction with length `norm`; the zero vector stays zero."""
    return vector_d * (norm / vector_d.norm().clamp(min=1e-12))

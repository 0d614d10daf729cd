"""What a variant finds, against what the main procedure finds in the same seed: sets, directions, samples.

Everything is read from the discovery half. Each quantity stands beside what chance reaches: random sets of as many of
the variant's own latents, or a dictionary of random directions. (docs/method.md, section 11.)

Shapes: K samples, S latents, d width of the residual stream, R random sets or resamples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rlgen.activations.completions import Completions
from rlgen.features.matching import Matching, match, overlap_row
from rlgen.features.mediation import populations
from rlgen.interventions.controls import sample_means
from rlgen.interventions.mean_change import DRAWS, Exchange, Found, cosine, measured
from rlgen.seeds import stream_seed
from rlgen.stats import rank_correlation

RANDOM_DICTIONARIES = 5
FEWEST_SAMPLES = 3  # critical samples, for a rank correlation
Row = dict[str, object]


@dataclass(frozen=True)
class Samples:
    """The completions sample by sample: which ones count, and the shift that the tuned model makes on each."""

    shift_Kd: NDArray[np.float64]
    selection_K: NDArray[np.bool_]
    critical_K: NDArray[np.bool_]

    @classmethod
    def of(cls, completions: Completions, tasks: list[str], critical: Literal["gained", "lost"]) -> "Samples":
        """Samples of the selection tasks, and of them those on which the main procedure chooses."""
        present_K = completions.sample_N.unique().numpy()
        task_K = np.array([completions.tasks[task] for task in completions.sample_task_I[present_K]])
        correct = (completions.reference_correct_I[present_K], completions.tuned_correct_I[present_K])
        shift_Kd = sample_means(completions.tuned_Nd - completions.reference_Nd, completions.sample_N).numpy()
        selection_K = np.isin(task_K, tasks)
        moved_K = np.linalg.norm(shift_Kd, axis=1) > 0
        return cls(shift_Kd, selection_K, selection_K & moved_K & populations(*correct, critical)["critical"])


def found_rows(
    ours: Found, main: Found, completions: Completions, samples: Samples, cosine: float, seed: int
) -> list[Row]:
    """All quantities of a variant's dictionary and set. An empty set, ours or the main one, leaves the rest out."""
    alive, latents = ours.alive, ours.chosen.latents
    matching = _matched(ours, main, cosine)
    rows = [{"quantity": "set_size", "value": len(latents)}, {"quantity": "alive", "value": len(alive)}]
    rows.append({"quantity": "set_share", "value": len(latents) / len(alive) if len(alive) else np.nan})
    rows.append({"quantity": "matched_share", "value": matching.share} | _random_share(ours, main, cosine, seed))
    if not len(latents) or not len(main.chosen.latents):
        return rows
    rng = np.random.default_rng(stream_seed(seed, "sensitivity"))
    exchanges = [side.exchange(completions) for side in (ours, main)]
    size = _by_size(exchanges[0], samples.selection_K)
    rows.append({"quantity": "overlap"} | overlap_row(matching, latents, main.chosen.latents))
    rows.append({"quantity": "overlap", "rival": "size"} | overlap_row(matching, size, main.chosen.latents))
    random = exchanges[0].random_sets(rng) if len(exchanges[0].pool) else []
    if random:
        rows += _direction_rows(*exchanges, samples, random, rng)
        rows += _rank_rows(*exchanges, samples, random, rng)
    return rows


def _matched(ours: Found, main: Found, cosine: float) -> Matching:
    return match(ours.decoder_SX(), main.decoder_SX(), ours.alive, main.alive, cosine)


def _random_share(ours: Found, main: Found, cosine: float, seed: int) -> Row:
    """Matched share of dictionaries of random directions, as many as ours has alive latents."""
    rng, n = np.random.default_rng(stream_seed(seed, "sensitivity", "directions")), len(ours.alive)
    width = ours.crosscoder.W_dec_SMd[0].numel()
    drawn = (rng.standard_normal((n, width)).astype(np.float32) for _ in range(RANDOM_DICTIONARIES))
    shares = [match(rows, main.decoder_SX(), np.arange(n), main.alive, cosine).share for rows in drawn]
    return {"chance": float(np.mean(shares)), "chance_lo": min(shares), "chance_hi": max(shares)}


def _by_size(exchange: Exchange, rows_K: NDArray[np.bool_]) -> NDArray[np.intp]:
    """As many latents of the pool as the set has, by the mean length of what exchanging each adds."""
    size_S = exchange.z_KS[rows_K].mean(0) * np.linalg.norm(exchange.value_Sd, axis=1)
    ranked = exchange.pool[np.argsort(-size_S[exchange.pool], kind="stable")]
    return np.sort(ranked[: len(exchange.latents)])


def _direction_rows(
    ours: Exchange, main: Exchange, samples: Samples, random: list[NDArray], rng: np.random.Generator
) -> list[Row]:
    """Cosine of the mean exchange vectors on the selection tasks, and of the mean shift with the main one."""
    where = samples.selection_K
    main_d = (main.z_KS[where].mean(0)[main.latents]) @ main.value_Sd[main.latents]
    row = measured(
        {"quantity": "direction"}, ours.direction(where, random, rng), lambda rows_Rd: cosine(rows_Rd, main_d)
    )
    shift_d = samples.shift_Kd[where].mean(0)
    rival = {"quantity": "direction", "rival": "shift-selection", "value": float(cosine(shift_d[None], main_d)[0])}
    return [row, rival]


def _rank_rows(
    ours: Exchange, main: Exchange, samples: Samples, random: list[NDArray], rng: np.random.Generator
) -> list[Row]:
    """Rank correlation, over critical samples, of the share of a sample's own shift that each set carries."""
    where = samples.critical_K
    if where.sum() < FEWEST_SAMPLES:
        words = f"{int(where.sum())} critical samples, fewer than {FEWEST_SAMPLES}"
        return [{"quantity": "carried_rank", "value": np.nan, "note": words}]
    shares = [_shares(exchange, samples) for exchange in (ours, main)]
    ours_K, main_K = (share_KS[:, e.latents].sum(1) for share_KS, e in zip(shares, (ours, main), strict=True))
    random_RK = np.stack([shares[0][:, latents].sum(1) for latents in random])
    value, random_R = float(rank_correlations(ours_K, main_K)), rank_correlations(random_RK, main_K)
    drawn_RK = rng.integers(0, len(ours_K), size=(DRAWS, len(ours_K)))
    lo, hi = np.quantile(rank_correlations(ours_K[drawn_RK], main_K[drawn_RK]), [0.025, 0.975])
    chance_lo, chance, chance_hi = np.quantile(random_R, [0.025, 0.5, 0.975])
    p = (1 + int((random_R >= value - 1e-12).sum())) / (1 + len(random_R))
    chances = {"chance_lo": chance_lo, "chance": chance, "chance_hi": chance_hi, "p": p}
    return [{"quantity": "carried_rank", "value": value, "lo": lo, "hi": hi} | chances]


def _shares(exchange: Exchange, samples: Samples) -> NDArray[np.float64]:
    """Share of its own shift that each latent's exchange carries on each critical sample, (K, S)."""
    shift_Kd = samples.shift_Kd[samples.critical_K]
    along_KS = exchange.z_KS[samples.critical_K] * (shift_Kd @ exchange.value_Sd.T)
    return along_KS / (shift_Kd**2).sum(1, keepdims=True)


def rank_correlations(a_RK: NDArray, b_RK: NDArray) -> NDArray[np.float64]:
    """Spearman's correlation of rows, or of all rows with one; 0 where a row does not vary.

    `rlgen.stats` says NaN there. Here chance is what random sets reach, and a set that carries the same share of every
    sample ranks none of them: it counts as a set that reaches 0.
    """
    return np.nan_to_num(rank_correlation(*np.broadcast_arrays(a_RK, b_RK)))


def quality_rows(quality: pd.DataFrame) -> list[Row]:
    """How good the variant's dictionary is: variance explained and latents per row, by member."""
    return [
        {"quantity": quantity, "state": row.member, "value": getattr(row, quantity)}
        for row in quality.itertuples()
        for quantity in ("fve", "fve_swap", "l0")
    ]

"""Does a procedure's set point along the planted direction? (docs/method.md, figure 8)

What an edit adds on average is linear in the latents: sum_F E[f_k] v_k, with f_k the reference's readout on the tuned
model's completions and v_k what one unit of the latent adds. So every set, chosen or random, is one matrix product.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch

from rlgen.activations.completions import Completions
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.interventions.controls import mean_shift, sample_means
from rlgen.interventions.edits import directions
from rlgen.interventions.procedure import Chosen
from rlgen.organism.truth import Truth
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

DRAWS = 500  # random sets of the chance level, and bootstrap draws over samples
EXCHANGE = "exchange"


class MeasureRecovery(Strict):
    """Settings of comparing every procedure's set with the planted direction."""

    seed: int
    threads: int
    procedures: list[str]
    readouts: list[Literal["swap", "own"]]


@dataclass(frozen=True)
class Direction:
    """A mean direction with its bootstrap over samples, and the directions of random sets of the same size."""

    vector_d: np.ndarray
    bootstrap_Rd: np.ndarray
    random_Rd: np.ndarray | None = None


def cosine(a_Rd: np.ndarray, b_d: np.ndarray) -> np.ndarray:
    """Cosines of rows with one vector; 0 for a zero row."""
    norms = np.linalg.norm(a_Rd, axis=-1) * np.linalg.norm(b_d)
    return np.divide(a_Rd @ b_d, norms, out=np.zeros_like(norms), where=norms > 0)


def _bootstrap_means(values_Kd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of DRAWS resamples of the rows, (DRAWS, d)."""
    k = len(values_Kd)
    return rng.multinomial(k, np.full(k, 1 / k), size=DRAWS) / k @ values_Kd


def set_direction(
    crosscoder: Crosscoder, chosen: Chosen, completions: Completions, readout: str, rng: np.random.Generator
) -> Direction | None:
    """Mean direction of exchanging a procedure's set on the selection tasks; None for an empty set."""
    if len(chosen.latents) == 0:
        return None
    kept = completions.of_role("selection")
    z_NS = crosscoder.encode_one(completions.reference_Nd[kept], 0, readout)
    z_KS = sample_means(z_NS, completions.sample_N[kept]).numpy()
    value_Sd = directions(crosscoder, EXCHANGE, towards_tuned=True).double().numpy()
    chosen_Kd = z_KS[:, chosen.latents] @ value_Sd[chosen.latents]
    pool = np.flatnonzero(chosen.alive_S & crosscoder.free_S.numpy())
    size = min(len(chosen.latents), len(pool))
    random = [rng.choice(pool, size, replace=False) for _ in range(DRAWS)] if size else []
    mean_S = z_KS.mean(0)
    random_Rd = np.stack([mean_S[latents] @ value_Sd[latents] for latents in random]) if random else None
    return Direction(chosen_Kd.mean(0), _bootstrap_means(chosen_Kd, rng), random_Rd)


def shift_direction(completions: Completions, role: str, rng: np.random.Generator) -> Direction:
    """Mean shift of the tuned model on the tasks of one role: the dictionary-free rival."""
    kept = completions.of_role(role)
    reference_Nd, tuned_Nd = completions.reference_Nd[kept], completions.tuned_Nd[kept]
    sample_N = completions.sample_N[kept]
    shift_Kd = sample_means(tuned_Nd - reference_Nd, sample_N).numpy()
    return Direction(mean_shift(reference_Nd, tuned_Nd, sample_N).double().numpy(), _bootstrap_means(shift_Kd, rng))


def rows_of(name: str, direction: Direction, truth: Truth, rng: np.random.Generator) -> list[dict]:
    """cosine with the planted direction and AUC on held-out contexts, each with interval and chance.

    Chance of a cosine: the 95 % quantile of |cosine| over random sets of alive latents of the same size, or over
    uniformly random directions where no dictionary is involved. Chance of an AUC: 0.5.
    """
    truth_d = truth.direction_d.double().numpy()
    random_Rd = direction.random_Rd if direction.random_Rd is not None else rng.standard_normal((DRAWS, len(truth_d)))
    chance = np.quantile(np.abs(cosine(random_Rd, truth_d)), 0.95)
    lo, hi = np.quantile(cosine(direction.bootstrap_Rd, truth_d), [0.025, 0.975])
    rows = [_row(name, "cosine", cosine(direction.vector_d[None], truth_d)[0], lo, hi, chance)]
    return [*rows, _auc_row(name, direction.vector_d, truth, rng)]


def _auc_row(name: str, vector_d: np.ndarray, truth: Truth, rng: np.random.Generator) -> dict:
    """AUC of the projection on a direction, with a bootstrap over contexts."""
    direction_d, n = torch.from_numpy(vector_d).float(), len(truth.careful_N)
    draws = [torch.from_numpy(rng.integers(n, size=n)) for _ in range(200)]
    resampled = [Truth(truth.direction_d, truth.held_out_Nd[i], truth.careful_N[i]).auc(direction_d) for i in draws]
    return _row(name, "auc", truth.auc(direction_d), *np.quantile(resampled, [0.025, 0.975]), 0.5)


def _row(procedure: str, quantity: str, value: float, lo: float, hi: float, chance: float) -> dict:
    return {"procedure": procedure, "quantity": quantity, "value": value, "lo": lo, "hi": hi, "chance": chance}


def recovery_table(
    truth: Truth, sets: dict[str, tuple[Crosscoder, Chosen, Completions, str, float]], seed: int
) -> pd.DataFrame:
    """All quantities of one seed. `sets`: procedure -> dictionary, set, completions, readout, carried share.

    The first procedure's completions give the mean-shift rivals. An empty set has a size and nothing else.
    """
    nan, rows = float("nan"), []
    for name, (crosscoder, chosen, completions, readout, carried) in sets.items():
        rng = np.random.default_rng(stream_seed(seed, "recovery", name))
        direction = set_direction(crosscoder, chosen, completions, readout, rng)
        rows.append(_row(name, "set_size", len(chosen.latents), nan, nan, nan))
        if direction is not None:
            rows += [_row(name, "carried_share", carried, nan, nan, nan), *rows_of(name, direction, truth, rng)]
    rng = np.random.default_rng(stream_seed(seed, "recovery"))
    first = next(iter(sets.values()))[2]
    for role in ("selection", "in_domain"):
        rows += rows_of(f"shift-{role}", shift_direction(first, role, rng), truth, rng)
    rows.append(_auc_row("truth", truth.direction_d.double().numpy(), truth, rng))
    return pd.DataFrame(rows).assign(seed=seed)[["seed", "procedure", "quantity", "value", "lo", "hi", "chance"]]

"""Early warning: does a checkpoint say what will have become of other tasks at the end? (docs/method.md, section 14.)

Of an arm's checkpoint, on texts that the reference wrote, r_k = E[f_k(h_arm) - f_k(h_ref)] ||d_k^tuned - d_k^ref||: by
how much what latent k would add has changed. r* is that of the target's last checkpoint in the same seed. Read are

    set        <r_F, r*_F> / ||r*_F||^2 over the procedure's set F: 0 in the reference, 1 in the target
    random-NN  the same over sets as large, alike in |r*|
    all        the same over all latents that may differ
    shift      <s, s*> / ||s*||^2 of mean shifts of the stream
    own        sum of the |F| largest |r_k|, raw units: a set chosen at that checkpoint, which asks for no target

beside what needs no dictionary: `kl`, `displacement` and, from other texts, `in_domain`: accuracy on the trained task.

Shapes: R runs (an arm in a seed), D bootstrap draws, S latents, F those of the set, d width of the residual stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rlgen.arms.readouts import Watched
from rlgen.arms.settings import ForetellArms
from rlgen.arms.table import Drifts
from rlgen.interventions.controls import random_sets
from rlgen.seeds import stream_seed
from rlgen.stats import bounds, rank_correlation

TEXTS = ("in_domain", "selection")  # roles whose prompts the texts belong to
TRIVIAL = "in_domain"
READINGS = ["model", "group", "seed", "checkpoint", "texts", "predictor", "value"]
FORETOLD = ["seed", "checkpoint", "texts", "predictor", "role", "runs", "value", "lo", "hi"]
FORETOLD += ["beyond", "beyond_lo", "beyond_hi", "left_out_r2"]


def readings_table(drifts: Drifts, watched: Mapping[int, Watched], cfg: ForetellArms) -> pd.DataFrame:
    """One row per run, checkpoint, role of the texts and predictor; `drifts` with the column `readout`."""
    rows = []
    for seed in cfg.seeds:
        for texts in TEXTS:
            end = at_end(role_means(drifts[cfg.target, seed], texts))
            sets = _sets(watched[seed], end, texts, cfg.random_sets, seed)
            for model, group in cfg.arms:
                for checkpoint, moved in role_means(drifts[model, seed], texts).items():
                    named = (model, group, seed, checkpoint, texts)
                    found = read(moved, end, watched[seed], sets).items()
                    rows += [dict(zip(READINGS, (*named, *reading), strict=True)) for reading in found]
    return pd.DataFrame(rows, columns=READINGS)


@dataclass(frozen=True)
class Moved:
    """One checkpoint on the texts of one role, mean over tasks."""

    kl: float
    displacement: float
    shift_d: NDArray[np.float64]
    readout_S: NDArray[np.float64]


def role_means(drift: pd.DataFrame, texts: str) -> dict[int, Moved]:
    """Checkpoint -> what has moved there, in order."""
    found = {}
    for checkpoint, rows in drift[drift["role"] == texts].groupby("checkpoint"):
        shift_d, readout_S = (np.mean(np.stack(rows[c].to_list()).astype(float), axis=0) for c in ("shift", "readout"))
        found[int(checkpoint)] = Moved(rows["kl"].mean(), rows["displacement"].mean(), shift_d, readout_S)
    return found


def at_end(moved: dict[int, Moved]) -> Moved:
    """The last checkpoint."""
    return moved[max(moved)]


def _sets(watched: Watched, end: Moved, texts: str, n: int, seed: int) -> dict[str, NDArray[np.intp]]:
    """Name -> latents: the set, random ones that move as much in the target (none of a small pool), and all."""
    moves_S = np.abs(end.readout_S) * watched.length_S
    rng = np.random.default_rng(stream_seed(seed, "foretell", texts))
    random = random_sets(moves_S, watched.latents, watched.able, n, rng).sets if len(watched.latents) else []
    drawn = {f"random-{i:02d}": latents for i, latents in enumerate(random)}
    return {"set": watched.latents} | drawn | {"all": watched.able}


def read(moved: Moved, end: Moved, watched: Watched, sets: Mapping[str, NDArray[np.intp]]) -> dict[str, float]:
    """Predictor -> its value at one checkpoint."""
    change_S, end_S = (m.readout_S * watched.length_S for m in (moved, end))
    found = {name: projected(change_S[latents], end_S[latents]) for name, latents in sets.items()}
    largest = np.sort(np.abs(change_S[watched.able]))[::-1][: len(watched.latents)]
    return found | {
        "shift": projected(moved.shift_d, end.shift_d),
        "own": float(largest.sum()),
        "kl": moved.kl,
        "displacement": moved.displacement,
    }


def projected(change: NDArray, end: NDArray) -> float:
    """<change, end> / ||end||^2: how far along the way to `end`; NaN where there is no way.

    >>> projected(np.array([1.0, 5.0]), np.array([2.0, 0.0]))
    0.5
    """
    length = float(end @ end)
    return float(change @ end) / length if length > 0 else np.nan


def foretold_table(readings: pd.DataFrame, arms: pd.DataFrame, cfg: ForetellArms) -> pd.DataFrame:
    """How well every predictor at every checkpoint ranks arms by the change of accuracy at their end.

    `arms` is the table of `summarise_arms`. The target is left out, as the set was chosen on it, and so are arms with
    fewer checkpoints than the target: their first is no early one. `value`: Spearman's correlation over runs; `beyond`:
    minus that of in-domain accuracy at the same checkpoint; intervals resample arms, with all their seeds, as seeds of
    one arm are alike. `left_out_r2`: see there. One row per seed, and one over `all`.
    """
    scored, last = _scored(arms, cfg), arms.groupby("model")["checkpoint"].max()
    left_out = {cfg.target, *last.index[last < last[cfg.target]]}
    readings = readings[~readings["model"].isin(left_out)]
    rows = []
    for (checkpoint, texts), part in _with_trivial(readings, arms).groupby(["checkpoint", "texts"]):
        wide = part.pivot_table(index=["model", "seed"], columns="predictor", values="value")
        for role in [role for role in ("selection", "unseen") if scored[role].notna().any()]:
            joined = wide.join(scored[[role]].set_axis(["change"], axis=1), how="inner")
            for seed in ["all", *cfg.seeds]:
                runs = joined if seed == "all" else joined.xs(seed, level="seed", drop_level=False)
                drawn = Drawn.of(runs, cfg, role)
                for predictor in wide.columns:
                    named = (seed, checkpoint, texts, predictor, role, len(runs))
                    rows.append(dict(zip(FORETOLD, (*named, *_told(runs, predictor, drawn)), strict=True)))
    return pd.DataFrame(rows, columns=FORETOLD)


def _scored(arms: pd.DataFrame, cfg: ForetellArms) -> pd.DataFrame:
    """Model and seed -> change of accuracy from the reference to the last checkpoint, per role."""
    last = arms[arms["checkpoint"] == arms.groupby("model")["checkpoint"].transform("max")]
    scores = last.set_index(["model", "seed"])[["selection", "unseen"]]
    return scores.drop(index=cfg.reference, level="model").sub(scores.xs(cfg.reference), level="seed")


def _with_trivial(readings: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """Readings with in-domain accuracy beside them, for both kinds of texts."""
    plain = arms.assign(value=arms[TRIVIAL])[["model", "group", "seed", "checkpoint", "value"]]
    plain = plain[plain["model"].isin(readings["model"])]
    both = [plain.assign(predictor=TRIVIAL, texts=texts) for texts in readings["texts"].unique()]
    return pd.concat([readings, *both], ignore_index=True)


@dataclass(frozen=True)
class Drawn:
    """Resampled arms with all their seeds, and what the trivial predictor says of each draw, for all predictors."""

    arm_R: NDArray[np.intp]
    draws_DR: NDArray[np.intp]
    trivial_D: NDArray[np.float64]

    @classmethod
    def of(cls, runs: pd.DataFrame, cfg: ForetellArms, role: str) -> "Drawn":
        names, arm_R = np.unique(runs.index.get_level_values("model"), return_inverse=True)
        rng = np.random.default_rng(stream_seed(0, "foretell", role))
        runs_of_AN = np.stack([np.flatnonzero(arm_R == a) for a in range(len(names))])  # every arm has every seed
        draws_DR = runs_of_AN[rng.integers(0, len(names), (cfg.bootstrap, len(names)))].reshape(cfg.bootstrap, -1)
        trivial, change = (runs[column].to_numpy(float)[draws_DR] for column in (TRIVIAL, "change"))
        return cls(arm_R, draws_DR, rank_correlation(trivial, change))


def _told(runs: pd.DataFrame, predictor: str, drawn: Drawn) -> tuple[float, ...]:
    """Value and interval, the same beyond the trivial predictor, and R^2 of arms left out."""
    found, trivial, change = (runs[column].to_numpy(float) for column in (predictor, TRIVIAL, "change"))
    if np.isnan(found).any():  # a way that the target did not go: see `projected`
        return (np.nan,) * 7
    value, rival = rank_correlation(found, change), rank_correlation(trivial, change)
    own_bounds = beyond_bounds = (np.nan, np.nan)
    if not predictor.startswith("random-"):
        values_D = rank_correlation(found[drawn.draws_DR], change[drawn.draws_DR])
        own_bounds, beyond_bounds = _bounds(values_D), _bounds(values_D - drawn.trivial_D)
    return (value, *own_bounds, value - rival, *beyond_bounds, left_out_r2(found, change, drawn.arm_R))


def _bounds(values_D: NDArray) -> Sequence[float]:
    known = values_D[~np.isnan(values_D)]
    return bounds(known) if len(known) else (np.nan, np.nan)


def left_out_r2(x_R: NDArray, y_R: NDArray, arm_R: NDArray) -> float:
    """1 - sum (y - y^)^2 / sum (y - mean)^2, each arm told by a line through the others, over the rank of x.

    Line and mean know the other arms alone; a value's rank is its place among theirs, so that logarithms do not matter.
    Below 0 the mean of the others says more. NaN with fewer than three arms.
    """
    if len(np.unique(arm_R)) < 3 or np.isnan(x_R).any():
        return np.nan
    error = total = 0.0
    for arm in np.unique(arm_R):
        own_R = arm_R == arm
        known = np.sort(x_R[~own_R])
        rank_R = (np.searchsorted(known, x_R, "left") + np.searchsorted(known, x_R, "right")) / (2 * len(known))
        slope, start = np.polyfit(rank_R[~own_R], y_R[~own_R], 1) if np.ptp(known) > 0 else (0.0, y_R[~own_R].mean())
        error += np.sum((y_R[own_R] - start - slope * rank_R[own_R]) ** 2)
        total += np.sum((y_R[own_R] - y_R[~own_R].mean()) ** 2)
    return float(1 - error / total) if total > 0 else np.nan

"""From two models' activations on the same completions to a procedure's mediating set and the tables behind it.

Only selection tasks and samples of the discovery half are read; only alive latents can be chosen. (docs/method.md, 7.)

Shapes: T selection tasks, S latents, I samples, N token positions, d width of the residual stream.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from rlgen.activations.completions import Completions
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.features.mediation import (
    Decomposition,
    choose,
    cut_list,
    decompositions,
    group_means,
    populations,
    position_weights,
    positive_shares,
    ranked,
)
from rlgen.features.overlap import overlap_rows, strata
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

SCORES = ("activation", "contribution")


class ScoreFeatures(Strict):
    """The slice that `scripts/features/score_features.py` receives: a procedure's choice, without its edits."""

    score: Literal["activation", "contribution"]
    cut: Literal["intersection", "cumulative"]
    cut_share: float = Field(gt=0, lt=1)
    readout: Literal["swap", "own"]
    critical: Literal["gained", "lost"]
    tasks: list[str] = Field(min_length=1, description="selection tasks: only they choose")
    random_draws: int = Field(ge=10)
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)


@dataclass
class Evidence:
    """What one population of samples says about every latent, task by task."""

    samples_T: NDArray[np.intp]
    decompositions: list[Decomposition]  # one per task
    score_TS: dict[str, NDArray[np.float64]]  # by score name
    share_TS: dict[str, NDArray[np.float64]]  # contribution: of ||s||; activation: of the positive sum


def gather_evidence(
    crosscoder: Crosscoder, completions: Completions, alive_S: NDArray[np.bool_], cfg: ScoreFeatures
) -> dict[str, Evidence]:
    """Population ("critical", "noncritical") -> evidence. Raises ValueError for a task the completions do not hold."""
    missing = [task for task in cfg.tasks if task not in completions.tasks]
    if missing:
        raise ValueError(f"tasks {', '.join(missing)}: no completions, which hold {', '.join(completions.tasks)}")
    of_task_TI = completions.sample_task_I == np.array([completions.tasks.index(t) for t in cfg.tasks])[:, None]
    samples = populations(completions.reference_correct_I, completions.tuned_correct_I, cfg.critical)
    members_GI = np.concatenate([of_task_TI & chosen_I for chosen_I in samples.values()])
    sample_N = completions.sample_N.numpy()
    weights_GN = position_weights(members_GI, sample_N)
    means = group_means(crosscoder, completions.reference_Nd, completions.tuned_Nd, weights_GN, cfg.readout)
    parts, found = decompositions(crosscoder, means), {}
    for i, population in enumerate(samples):
        groups = slice(i * len(cfg.tasks), (i + 1) * len(cfg.tasks))
        contribution_TS = np.stack([part.features_S for part in parts[groups]])
        norm_T1 = np.array([[part.norm] for part in parts[groups]])
        readout_TS = means.readout_GS[groups]
        found[population] = Evidence(
            np.array([len(np.unique(sample_N[weight_N > 0])) for weight_N in weights_GN[groups]]),
            parts[groups],
            {"activation": readout_TS, "contribution": contribution_TS},
            {
                "activation": np.stack([positive_shares(score_S, alive_S) for score_S in readout_TS]),
                "contribution": np.divide(
                    contribution_TS, norm_T1, out=np.zeros_like(contribution_TS), where=norm_T1 > 0
                ),
            },
        )
    return found


def task_lists(evidence: Evidence, alive_S: NDArray[np.bool_], cfg: ScoreFeatures) -> NDArray[np.bool_]:
    """Every task's own list under the procedure's cut, (T, S)."""
    return np.stack(
        [cut_list(score_S, alive_S, cfg.cut, cfg.cut_share).kept_S for score_S in evidence.score_TS[cfg.score]]
    )


def score_table(evidence: dict[str, Evidence], alive_S: NDArray[np.bool_], cfg: ScoreFeatures) -> pd.DataFrame:
    """One row per population, task, score and latent.

    score in the score's own units, score_share comparable between tasks; threshold and kept (the task's own list) for
    the score that the procedure uses, NaN and False for the other. A task without samples has scores of 0.
    """
    tables = []
    for population, found in evidence.items():
        for name in SCORES:
            for t, task in enumerate(cfg.tasks):
                score_S = found.score_TS[name][t]
                kept_S, threshold = np.zeros_like(alive_S), float("nan")
                if name == cfg.score:
                    kept_S, threshold = cut_list(score_S, alive_S, cfg.cut, cfg.cut_share)
                columns = {"task": task, "latent": np.arange(len(score_S)), "score_name": name, "score": score_S}
                columns |= {"threshold": threshold, "kept": kept_S, "score_share": found.share_TS[name][t]}
                tables.append(pd.DataFrame(columns | {"population": population}))
    return pd.concat(tables, ignore_index=True)


def mediating_set(evidence: dict[str, Evidence], alive_S: NDArray[np.bool_], cfg: ScoreFeatures) -> dict:
    """The set, what it carries and how it came about, as JSON values.

    latents: by falling mean share. score_total: sum of positive mean shares over alive latents. carried_share: what the
    set carries of ||s||; features_share, bias_share, error_share: the parts of ||s||; all are means over tasks with
    critical samples (None: no such task). tasks: per task, its own list and what was carried there. without: the set
    chosen without that task. noncritical: the set chosen on samples that both models get right. note: why the set is
    empty, None when it is not.
    """
    critical, lists_TS = evidence["critical"], task_lists(evidence["critical"], alive_S, cfg)
    present_T, share_TS = critical.samples_T > 0, critical.share_TS[cfg.score]
    chosen_S = choose(share_TS, present_T, alive_S, cfg.cut, cfg.cut_share)
    carried_TS = critical.share_TS["contribution"][present_T]
    mean_S = share_TS[present_T].mean(0) if present_T.any() else np.zeros(len(alive_S))
    everyone = np.arange(len(cfg.tasks))
    return {
        "latents": ranked(chosen_S, share_TS),
        "score_total": float(mean_S[alive_S & (mean_S > 0)].sum()),
        "carried_share": float(carried_TS[:, chosen_S].sum(1).mean()) if present_T.any() else None,
        **_mean_shares([part for part in critical.decompositions if part.norm > 0]),
        "critical": {task: int(n) for task, n in zip(cfg.tasks, critical.samples_T, strict=True)},
        "tasks": {task: _task_summary(critical, lists_TS, chosen_S, cfg, t) for t, task in enumerate(cfg.tasks)},
        "without": {
            task: ranked(choose(share_TS[rest], present_T[rest], alive_S, cfg.cut, cfg.cut_share), share_TS[rest])
            for t, task in enumerate(cfg.tasks)
            if len(rest := everyone[everyone != t])
        },
        "noncritical": _noncritical_set(evidence["noncritical"], alive_S, cfg),
        "note": None if chosen_S.any() else _why_empty(critical, lists_TS, cfg),
    }


def overlap_table(
    evidence: dict[str, Evidence], features: pd.DataFrame, free_S: NDArray[np.bool_], cfg: ScoreFeatures
) -> pd.DataFrame:
    """Overlap of the tasks' lists beside chance, per population: see `overlap.overlap_rows`.

    Strata: frequency, and the norm that acts: of the decoders' difference for contributions, where only latents whose
    decoders may differ can be drawn, of the tuned decoder for activations.
    """
    alive_S, frequency_S = features["alive"].to_numpy(), features["frequency"].to_numpy()
    if cfg.score == "contribution":
        stratum_S = strata(frequency_S, features["difference_norm"].to_numpy(), alive_S & free_S)
    else:
        stratum_S = strata(frequency_S, features["decoder_norm_1"].to_numpy(), alive_S)
    rows = []
    for population, found in evidence.items():
        rng = np.random.default_rng(stream_seed(cfg.seed, "overlap", population))
        lists_TS = task_lists(found, alive_S, cfg) & (stratum_S >= 0)
        rows += [
            {"population": population} | row
            for row in overlap_rows(lists_TS, cfg.tasks, stratum_S, cfg.random_draws, rng)
        ]
    return pd.DataFrame(rows)


def _task_summary(
    evidence: Evidence, lists_TS: NDArray[np.bool_], chosen_S: NDArray[np.bool_], cfg: ScoreFeatures, t: int
) -> dict:
    """One task's list and the parts of its shift, as shares of ||s|| that add up to 1 (None without a shift)."""
    part, share_TS = evidence.decompositions[t], evidence.share_TS[cfg.score]
    sums = {"features": part.features_S.sum(), "bias": part.bias, "error": part.error}
    sums["carried"] = part.features_S[chosen_S].sum()
    shares = {f"{name}_share": float(value / part.norm) if part.norm > 0 else None for name, value in sums.items()}
    latents = ranked(lists_TS[t], share_TS[t : t + 1])
    return {"critical": int(evidence.samples_T[t]), "latents": latents, "shift_norm": part.norm} | shares


def _mean_shares(parts: list[Decomposition]) -> dict[str, float | None]:
    """Parts of ||s||, as shares that add up to 1, averaged over tasks; None without a task."""
    sums = {"features": [p.features_S.sum() for p in parts], "bias": [p.bias for p in parts]}
    sums["error"] = [p.error for p in parts]
    norms = [p.norm for p in parts]
    return {f"{name}_share": float(np.divide(v, norms).mean()) if norms else None for name, v in sums.items()}


def _noncritical_set(evidence: Evidence, alive_S: NDArray[np.bool_], cfg: ScoreFeatures) -> list[int]:
    share_TS = evidence.share_TS[cfg.score]
    return ranked(choose(share_TS, evidence.samples_T > 0, alive_S, cfg.cut, cfg.cut_share), share_TS)


def _why_empty(evidence: Evidence, lists_TS: NDArray[np.bool_], cfg: ScoreFeatures) -> str:
    """A sentence for the figure that has nothing to show."""
    wanted = {
        "gained": "tuned model right where the reference is wrong",
        "lost": "reference right where the tuned model is wrong",
    }
    without = [task for task, n in zip(cfg.tasks, evidence.samples_T, strict=True) if n == 0]
    if len(without) == len(cfg.tasks):
        return f"no critical samples on any selection task ({wanted[cfg.critical]})"
    if without and cfg.cut == "intersection":
        return f"no critical samples on {', '.join(without)} ({wanted[cfg.critical]}), so the intersection is empty"
    unscored = [task for task, list_S in zip(cfg.tasks, lists_TS, strict=True) if not list_S.any()]
    if unscored:
        return f"no latent with a positive score on {', '.join(unscored)}"
    return "the tasks' lists share no latent"

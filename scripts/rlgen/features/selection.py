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
    Cut,
    Decomposition,
    choose,
    cut_list,
    decompositions,
    group_means,
    populations,
    position_weights,
    positive_shares,
    ranked,
    sizes,
)
from rlgen.features.overlap import overlap_rows, strata
from rlgen.names import LISTED_BY, Readout
from rlgen.seeds import stream_seed
from rlgen.strict import Strict


class ScoreFeatures(Strict):
    """The slice that `scripts/features/score_features.py` receives: a procedure's choice, without its edits."""

    score: Literal["activation", "contribution", "size", "attribution", "elimination", "gates"]
    cut: Cut
    cut_share: float = Field(gt=0, lt=1)
    cut_count: int | None = Field(ge=1)
    readout: Readout
    critical: Literal["gained", "lost"]
    tasks: list[str] = Field(min_length=1, description="selection tasks: only they choose")
    random_draws: int = Field(ge=10)
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)

    @property
    def list_score(self) -> str:
        """The score that every task's own list is made by."""
        return LISTED_BY.get(self.score, self.score)

    @property
    def amount(self) -> float:
        """What the cut takes: a share, or a number of latents."""
        return self.cut_count if self.cut == "top" else self.cut_share


@dataclass
class Evidence:
    """What one population of samples says about every latent, task by task."""

    samples_T: NDArray[np.intp]
    decompositions: list[Decomposition]  # one per task
    score_TS: dict[str, NDArray[np.float64]]  # by score name
    share_TS: dict[str, NDArray[np.float64]]  # contribution: of ||s||; others: of the positive sum
    joint_S: NDArray[np.float64] | None = None  # over all tasks together, in place of a mean of shares


def gather_evidence(
    crosscoder: Crosscoder,
    completions: Completions,
    alive_S: NDArray[np.bool_],
    cfg: ScoreFeatures,
    attribution: pd.DataFrame | None = None,
    joint: pd.DataFrame | None = None,
) -> dict[str, Evidence]:
    """Population ("critical", "noncritical") -> evidence. Raises ValueError for a task the completions do not hold.

    Scores by cause need models and come as tables over alive latents: attribution has columns population, task, latent,
    attribution; joint, where tasks are ranked together, population, latent, score.
    """
    missing = [task for task in cfg.tasks if task not in completions.tasks]
    if missing:
        raise ValueError(f"tasks {', '.join(missing)}: no completions, which hold {', '.join(completions.tasks)}")
    of_task_TI = completions.sample_task_I == np.array([completions.tasks.index(t) for t in cfg.tasks])[:, None]
    samples = populations(completions.reference_correct_I, completions.tuned_correct_I, cfg.critical)
    members_GI = np.concatenate([of_task_TI & chosen_I for chosen_I in samples.values()])
    sample_N = completions.sample_N.numpy()
    weights_GN = position_weights(members_GI, sample_N)
    means = group_means(crosscoder, completions.reference_Nd, completions.tuned_Nd, weights_GN, cfg.readout)
    parts, size_GS, found = decompositions(crosscoder, means), sizes(crosscoder, means), {}
    for i, population in enumerate(samples):
        groups = slice(i * len(cfg.tasks), (i + 1) * len(cfg.tasks))
        score_TS = {
            "activation": means.readout_GS[groups],
            "contribution": np.stack([part.features_S for part in parts[groups]]),
            "size": size_GS[groups],
        }
        joint_S = None
        if attribution is not None:
            rows = attribution[attribution["population"] == population]
            score_TS["attribution"] = np.stack(
                [by_latent(rows[rows["task"] == task], "attribution", len(alive_S)) for task in cfg.tasks]
            )
        if joint is not None:
            joint_S = by_latent(joint[joint["population"] == population], "score", len(alive_S))
        found[population] = Evidence(
            np.array([len(np.unique(sample_N[weight_N > 0])) for weight_N in weights_GN[groups]]),
            parts[groups],
            score_TS,
            {name: _shares(name, scores_TS, alive_S, parts[groups]) for name, scores_TS in score_TS.items()},
            joint_S,
        )
    return found


def by_latent(rows: pd.DataFrame, column: str, n_latents: int) -> NDArray[np.float64]:
    """A column of a table over some latents as an array over all; latents without a row have 0 and are never chosen."""
    score_S = np.zeros(n_latents)
    score_S[rows["latent"].to_numpy(dtype=np.intp)] = rows[column].to_numpy()
    return score_S


def _shares(name: str, score_TS: NDArray, alive_S: NDArray[np.bool_], parts: list[Decomposition]) -> NDArray:
    """Scores that can be averaged over tasks."""
    if name != "contribution":
        return np.stack([positive_shares(score_S, alive_S) for score_S in score_TS])
    norm_T1 = np.array([[part.norm] for part in parts])
    return np.divide(score_TS, norm_T1, out=np.zeros_like(score_TS), where=norm_T1 > 0)


def _chosen(evidence: Evidence, alive_S: NDArray[np.bool_], cfg: ScoreFeatures, tasks: NDArray) -> NDArray[np.bool_]:
    """The set that a population chooses on some tasks (their places); a joint score knows all of them only."""
    present_T = evidence.samples_T[tasks] > 0
    if evidence.joint_S is not None:
        return choose(evidence.joint_S[None], present_T.any(keepdims=True), alive_S, cfg.cut, cfg.amount)
    return choose(evidence.share_TS[cfg.score][tasks], present_T, alive_S, cfg.cut, cfg.amount)


def _ranking(evidence: Evidence, cfg: ScoreFeatures, tasks: NDArray) -> NDArray[np.float64]:
    """Shares that a set chosen on some tasks is listed by."""
    return evidence.share_TS[cfg.score][tasks] if evidence.joint_S is None else evidence.joint_S[None]


def task_lists(evidence: Evidence, alive_S: NDArray[np.bool_], cfg: ScoreFeatures) -> NDArray[np.bool_]:
    """Every task's own list under the procedure's cut, (T, S)."""
    return np.stack(
        [cut_list(score_S, alive_S, cfg.cut, cfg.amount).kept_S for score_S in evidence.score_TS[cfg.list_score]]
    )


def score_table(evidence: dict[str, Evidence], alive_S: NDArray[np.bool_], cfg: ScoreFeatures) -> pd.DataFrame:
    """One row per population, task, score and latent.

    score in the score's own units, score_share comparable between tasks; threshold and kept (the task's own list) for
    the score that the procedure lists by, NaN and False for the others. A task without samples has scores of 0.
    """
    tables = []
    for population, found in evidence.items():
        for name in found.score_TS:
            for t, task in enumerate(cfg.tasks):
                score_S = found.score_TS[name][t]
                kept_S, threshold = np.zeros_like(alive_S), float("nan")
                if name == cfg.list_score:
                    kept_S, threshold = cut_list(score_S, alive_S, cfg.cut, cfg.amount)
                columns = {"task": task, "latent": np.arange(len(score_S)), "score_name": name, "score": score_S}
                columns |= {"threshold": threshold, "kept": kept_S, "score_share": found.share_TS[name][t]}
                tables.append(pd.DataFrame(columns | {"population": population}))
    return pd.concat(tables, ignore_index=True)


def mediating_set(evidence: dict[str, Evidence], alive_S: NDArray[np.bool_], cfg: ScoreFeatures) -> dict:
    """The set, what it carries and how it came about, as JSON values.

    latents: by falling mean share, or by the joint score. score_total: sum of positive mean shares over alive latents.
    carried_share: what the set carries of ||s||; features_share, bias_share, error_share: the parts of ||s||; all are
    means over tasks with critical samples (None: no such task). tasks: per task, its own list and what was carried
    there. without: the set chosen without that task, where tasks score apart. noncritical: the set chosen on samples
    that both models get right. note: why the set is empty, None when it is not.
    """
    critical, lists_TS = evidence["critical"], task_lists(evidence["critical"], alive_S, cfg)
    everyone, present_T = np.arange(len(cfg.tasks)), critical.samples_T > 0

    def listed(population: str, tasks: NDArray) -> list[int]:
        found = evidence[population]
        return ranked(_chosen(found, alive_S, cfg, tasks), _ranking(found, cfg, tasks))

    chosen_S = _chosen(critical, alive_S, cfg, everyone)
    carried_TS, share_TS = critical.share_TS["contribution"][present_T], critical.share_TS[cfg.list_score]
    mean_S = share_TS[present_T].mean(0) if present_T.any() else np.zeros(len(alive_S))
    rest = {task: everyone[everyone != t] for t, task in enumerate(cfg.tasks) if len(cfg.tasks) > 1}
    return {
        "latents": listed("critical", everyone),
        "score_total": float(mean_S[alive_S & (mean_S > 0)].sum()),
        "carried_share": float(carried_TS[:, chosen_S].sum(1).mean()) if present_T.any() else None,
        **_mean_shares([part for part in critical.decompositions if part.norm > 0]),
        "critical": {task: int(n) for task, n in zip(cfg.tasks, critical.samples_T, strict=True)},
        "tasks": {task: _task_summary(critical, lists_TS, chosen_S, cfg, t) for t, task in enumerate(cfg.tasks)},
        "without": {task: listed("critical", tasks) for task, tasks in rest.items() if critical.joint_S is None},
        "noncritical": listed("noncritical", everyone),
        "note": None if chosen_S.any() else _why_empty(critical, lists_TS, cfg),
    }


def overlap_table(
    evidence: dict[str, Evidence], features: pd.DataFrame, free_S: NDArray[np.bool_], cfg: ScoreFeatures
) -> pd.DataFrame:
    """Overlap of the tasks' lists beside chance, per population: see `overlap.overlap_rows`.

    Strata: frequency, and the norm that acts: of the tuned decoder for activations, else of the decoders' difference,
    where only latents whose decoders may differ can be drawn.
    """
    alive_S, frequency_S = features["alive"].to_numpy(), features["frequency"].to_numpy()
    if cfg.score == "activation":
        stratum_S = strata(frequency_S, features["decoder_norm_1"].to_numpy(), alive_S)
    else:
        stratum_S = strata(frequency_S, features["difference_norm"].to_numpy(), alive_S & free_S)
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
    part, share_TS = evidence.decompositions[t], evidence.share_TS[cfg.list_score]
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

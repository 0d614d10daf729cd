"""Arms beside one another: accuracy, distance from the reference, and which distance goes with who generalizes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rlgen.arms.settings import SummariseArms
from rlgen.seeds import stream_seed
from rlgen.stats import bounds, rank_correlation
from rlgen.tables import ROLE_MEAN

ROLES = ["in_domain", "selection", "unseen"]
PREDICTORS = ["kl", "displacement", "in_domain"]  # what can be known without a task out of domain
COLUMNS = ["model", "group", "seed", "checkpoint", "steps_share", *ROLES]
COLUMNS += ["kl", "displacement", "norm", "cosine"]
AS_FAR = ["model", "group", "seed", "displacement", "reached", "share", *ROLES]
EXPLAINED = ["seed", "predictor", "role", "points", "value", "lo", "hi"]


Drifts = Mapping[tuple[str, int], pd.DataFrame]  # model, seed -> rows of `drift` with their checkpoint


def arms_table(accuracy: pd.DataFrame, drifts: Drifts, cfg: SummariseArms) -> pd.DataFrame:
    """One row per arm, seed and checkpoint, and one per seed for the reference, which is where all start.

    `accuracy` is the table of `summarise_behaviour`. Accuracies are of the test half, mean over tasks. `kl`,
    `displacement` and `norm`: mean over in-domain tasks. `cosine`: of the arm's shift on the selection tasks with that
    of the target's last checkpoint.
    """
    wanted = (accuracy["task"] == ROLE_MEAN) & (accuracy["half"] == "test") & (accuracy["metric"] == "accuracy")
    keys = ["model", "seed", "checkpoint", "steps_share"]
    scored = accuracy[wanted].pivot_table(index=keys, columns="role", values="value").reset_index()
    rows = []
    for seed in cfg.seeds:
        aim_d = mean_shift(drifts[cfg.target, seed], last=True)
        for model, group in [(cfg.reference, ""), *cfg.arms]:
            for row in scored[(scored["model"] == model) & (scored["seed"] == seed)].to_dict("records"):
                moved = _moved(drifts.get((model, seed)), row, aim_d)
                rows.append(row | {"group": group} | moved)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _moved(drift: pd.DataFrame | None, row: dict, aim_d: NDArray) -> dict[str, float]:
    """How far the model of a row has moved; the reference has not."""
    if drift is None:
        return {"kl": 0.0, "displacement": 0.0}
    mine = drift[drift["checkpoint"] == row["checkpoint"]]
    trained, shift_d = mine[mine["role"] == "in_domain"], mean_shift(mine)
    length = np.linalg.norm(shift_d) * np.linalg.norm(aim_d)
    return {name: float(trained[name].mean()) for name in ("kl", "displacement", "norm")} | {
        "cosine": float(shift_d @ aim_d / length) if length else np.nan
    }


def mean_shift(drift: pd.DataFrame, last: bool = False) -> NDArray[np.float64]:
    """Mean shift (d,) on the selection tasks, which weigh the same; `last`: of the last checkpoint alone."""
    rows = drift[drift["role"] == "selection"]
    rows = rows[rows["checkpoint"] == rows["checkpoint"].max()] if last else rows
    return np.mean(np.stack(rows["shift"].to_list()).astype(np.float64), axis=0)


def as_far_table(arms: pd.DataFrame, cfg: SummariseArms) -> pd.DataFrame:
    """Every arm where it has moved as far as the target at its end: one row per arm and seed.

    Accuracies between the two checkpoints around the first crossing (the reference, which has not moved, comes before
    the first) are read off the line between them, by displacement. `reached`: NaN accuracies where an arm never gets so
    far. `share`: of the arm's checkpoints done by then.
    """
    rows = []
    for seed in cfg.seeds:
        start = arms[(arms["model"] == cfg.reference) & (arms["seed"] == seed)]
        far = _course(arms, start, cfg.target, seed)["displacement"].iloc[-1]
        for model, group in cfg.arms:
            named = {"model": model, "group": group, "seed": seed, "displacement": far}
            rows.append(named | _crossing(_course(arms, start, model, seed), far))
    return pd.DataFrame(rows, columns=AS_FAR)


def _course(arms: pd.DataFrame, start: pd.DataFrame, model: str, seed: int) -> pd.DataFrame:
    """The reference, then the checkpoints of an arm in one seed."""
    own = arms[(arms["model"] == model) & (arms["seed"] == seed)].sort_values("checkpoint")
    return pd.concat([start.assign(checkpoint=0), own], ignore_index=True)


def _crossing(course: pd.DataFrame, far: float) -> dict[str, object]:
    """Accuracies where the displacement first reaches `far`."""
    moved = course["displacement"].to_numpy(float)
    beyond = np.flatnonzero(moved >= far)
    if not len(beyond):
        return {"reached": False}
    last = int(beyond[0])
    part = 1.0 if last == 0 else (far - moved[last - 1]) / (moved[last] - moved[last - 1])
    before, after = course.iloc[max(0, last - 1)], course.iloc[last]
    scores = {role: before[role] + part * (after[role] - before[role]) for role in ROLES}
    return {"reached": True, "share": (max(0, last - 1) + part) / (len(course) - 1)} | scores


def explained_table(arms: pd.DataFrame, cfg: SummariseArms) -> pd.DataFrame:
    """Rank correlation of each predictor with the change of accuracy out of domain, over checkpoints of all arms.

    One row per seed, predictor and role, and one over all seeds (`seed` is `all`). A run, an arm in one seed, is the
    unit that is resampled: its checkpoints are not independent. The change is from the reference of the same seed.
    """
    moved = arms[arms["model"] != cfg.reference]
    start = arms[arms["model"] == cfg.reference].set_index("seed")
    rows = []
    for role in [role for role in ROLES[1:] if arms[role].notna().any()]:
        change = moved[role] - moved["seed"].map(start[role])
        for seed, part in [("all", moved), *((s, moved[moved["seed"] == s]) for s in cfg.seeds)]:
            runs = [group.index for _, group in part.groupby(["model", "seed"], sort=False)]
            rng = np.random.default_rng(stream_seed(0, "arms", role, seed))
            draws = rng.integers(0, len(runs), (cfg.bootstrap, len(runs)))
            drawn = [np.concatenate([runs[i] for i in draw]) for draw in draws]
            for predictor in PREDICTORS:
                values = part[predictor]
                resampled = np.array([rank_correlation(values[d], change[d]) for d in drawn])
                lo, hi = bounds(resampled[~np.isnan(resampled)]) if (~np.isnan(resampled)).any() else (np.nan, np.nan)
                value = rank_correlation(values, change[part.index])
                rows.append(dict(zip(EXPLAINED, (seed, predictor, role, len(part), value, lo, hi), strict=True)))
    return pd.DataFrame(rows, columns=EXPLAINED)

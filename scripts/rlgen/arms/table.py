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
        aim_d = _shift(drifts[cfg.target, seed], last=True)
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
    trained, shift_d = mine[mine["role"] == "in_domain"], _shift(mine)
    length = np.linalg.norm(shift_d) * np.linalg.norm(aim_d)
    return {name: float(trained[name].mean()) for name in ("kl", "displacement", "norm")} | {
        "cosine": float(shift_d @ aim_d / length) if length else np.nan
    }


def _shift(drift: pd.DataFrame, last: bool = False) -> NDArray[np.float64]:
    """Mean shift (d,) on the selection tasks, which weigh the same."""
    rows = drift[drift["role"] == "selection"]
    rows = rows[rows["checkpoint"] == rows["checkpoint"].max()] if last else rows
    return np.mean(np.stack(rows["shift"].to_list()).astype(np.float64), axis=0)


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

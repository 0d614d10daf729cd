"""What edits change: values, paired changes against the unedited model, and flips (docs/method.md, section 8)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from rlgen.stats import task_mean_interval, task_resamples
from rlgen.strict import Strict
from rlgen.tables import METRICS, ROLE_MEAN, prompts_by_condition

CONDITION = ["procedure", "state", "edit", "set_kind", "set", "form", "dose", "chosen"]
COLUMNS = [*CONDITION, "role", "task", "half", "subset", "n", "metric", "value", "lo", "hi"]


class SummariseInterventions(Strict):
    """One table per procedure and seed, and one of steering per seed."""

    procedures: list[str]
    tuned: list[str] = Field(
        description="the model each procedure explains: its edits aim at the target only if it is that"
    )
    seeds: list[int] = Field(min_length=1)
    reference: str
    target: str
    bootstrap: int = Field(ge=1, description="draws per interval")


COLUMNS += ["change", "change_lo", "change_hi", "wrong_to_right", "right_to_wrong", "seed"]


FLIPPING = ("accuracy", "format_blind")  # metrics that are right or wrong
NUMEROUS = ("random", "rotated", "direction")  # kinds of control that come in dozens: role means of FLIPPING only


@dataclass(frozen=True)
class Cell:
    """One task in one half: N prompts under C conditions."""

    task: str
    edited_NC: dict[str, np.ndarray]  # by metric; NaN where a condition has no such score
    unedited_NC: dict[str, np.ndarray]  # the same model without an edit, on the same prompts
    critical_N: np.ndarray  # reference wrong, target right, both unedited


def effects_table(
    rows: pd.DataFrame,
    unedited: pd.DataFrame,
    *,
    reference: str,
    target: str,
    same_goal: bool,
    seed: int,
    draws: int,
) -> pd.DataFrame:
    """Summary of one job's per-sample rows: one row per condition, task (or role mean), half, subset and metric.

    `unedited`: rows of the running models without an edit, from the same seed. `same_goal`: whether `kl` of both is
    measured against the same model; where not, its change is left empty. Subsets: `half`, and `critical`, the prompts
    that the unedited reference gets wrong and the unedited target right. Role means are over tasks that have prompts
    in the subset; n counts prompts. Intervals: paired bootstrap over prompts, the same draws for all jobs of a seed.
    """
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = rows.assign(set_kind=rows["set"].str.replace(r"-\d+$", "", regex=True))
    parts = []
    for (role, half), group in rows.groupby(["role", "half"], sort=False):
        identity = group.groupby(CONDITION, sort=False).ngroup()
        conditions_C = group[CONDITION].drop_duplicates().reset_index(drop=True)
        baseline = unedited[unedited["half"] == half]
        cells = [
            _cell(task, cell, conditions_C, baseline[baseline["task"] == task], reference, target)
            for task, cell in group.assign(condition=identity).groupby("task", sort=False)
        ]
        for subset in ("half", "critical"):
            for part in _summaries(cells, conditions_C, subset, half, seed, draws):
                parts.append(part.assign(role=role, half=half, subset=subset, seed=seed))
    table = pd.concat(parts, ignore_index=True)[COLUMNS]
    if not same_goal:
        table.loc[table["metric"] == "kl", ["change", "change_lo", "change_hi"]] = np.nan
    return table


def _cell(
    task: str, rows: pd.DataFrame, conditions_C: pd.DataFrame, unedited: pd.DataFrame, reference: str, target: str
) -> Cell:
    edited, before = {}, {}
    for metric, column in METRICS.items():
        edited[metric] = prompts_by_condition(rows, "condition", column).to_numpy()
        by_state = prompts_by_condition(unedited, "state", column)
        missing = {*conditions_C["state"], reference, target} - set(by_state)
        if missing:
            raise ValueError(f"task {task}: no unedited rows of {', '.join(sorted(missing))}")
        before[metric] = by_state[conditions_C["state"]].to_numpy()
        if metric == "accuracy":
            critical_N = ((by_state[reference] == 0) & (by_state[target] == 1)).to_numpy()
    if edited["accuracy"].shape != before["accuracy"].shape:
        raise ValueError(f"task {task}: edited and unedited models were not run on the same prompts")
    return Cell(task, edited, before, critical_N)


def _summaries(
    cells: list[Cell], conditions_C: pd.DataFrame, subset: str, half: str, seed: int, draws: int
) -> Iterator[pd.DataFrame]:
    """Rows of every task with prompts in the subset, then of their mean."""
    kept = [(cell, cell.critical_N if subset == "critical" else np.ones(len(cell.critical_N), bool)) for cell in cells]
    kept = [(cell, mask_N) for cell, mask_N in kept if mask_N.any()]
    weights = {
        cell.task: task_resamples(int(mask_N.sum()), draws, seed, cell.task, half, subset) for cell, mask_N in kept
    }
    few_C = ~conditions_C["set_kind"].isin(NUMEROUS).to_numpy()
    for metric in METRICS:
        for one in kept:
            yield _summary([one], weights, conditions_C, few_C, metric).assign(task=one[0].task)
        if kept:
            shown_C = np.full(len(few_C), True) if metric in FLIPPING else few_C
            yield _summary(kept, weights, conditions_C, shown_C, metric).assign(task=ROLE_MEAN)


def _summary(
    kept: list[tuple[Cell, np.ndarray]],
    weights: dict[str, np.ndarray],
    conditions_C: pd.DataFrame,
    shown_C: np.ndarray,
    metric: str,
) -> pd.DataFrame:
    """One row per shown condition that has this metric: the mean over the given tasks and its change."""
    scored_C = shown_C & ~np.any([np.isnan(cell.edited_NC[metric]).any(axis=0) for cell, _ in kept], axis=0)
    after = [cell.edited_NC[metric][mask_N][:, scored_C] for cell, mask_N in kept]
    before = [cell.unedited_NC[metric][mask_N][:, scored_C] for cell, mask_N in kept]
    if not scored_C.any():
        return pd.DataFrame()
    weights_DN = [weights[cell.task] for cell, _ in kept]
    value = task_mean_interval(after, weights_DN)
    change = task_mean_interval([a - b for a, b in zip(after, before, strict=True)], weights_DN)
    flips = {"wrong_to_right": np.nan, "right_to_wrong": np.nan}
    if metric in FLIPPING:
        pairs = list(zip(after, before, strict=True))
        flips["wrong_to_right"] = sum(((a == 1) & (b == 0)).sum(axis=0) for a, b in pairs)
        flips["right_to_wrong"] = sum(((a == 0) & (b == 1)).sum(axis=0) for a, b in pairs)
    return conditions_C[scored_C].assign(
        metric=metric,
        n=sum(map(len, after)),
        **value._asdict(),
        **{f"change_{bound}".removesuffix("_value"): x for bound, x in change._asdict().items()},
        **flips,
    )

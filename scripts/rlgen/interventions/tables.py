"""What edits change: values, paired changes against the unedited model, and flips (docs/method.md, section 8)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from rlgen.stats import Resampled, mean_of_means, resampled_mean, task_resamples
from rlgen.strict import Strict
from rlgen.tables import METRICS, ROLE_MEAN, Grid, in_categories, numbered

CONDITION = ["procedure", "state", "edit", "set_kind", "set", "form", "dose", "chosen"]
NAMED = ["procedure", "state", "edit", "set", "form"]  # those of them that are text
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
    rows, unedited = in_categories([rows, unedited], [*NAMED, "role", "half", "task", "sample"])
    condition_R, first = numbered(rows, [*NAMED, "dose", "chosen"])
    conditions = rows.iloc[first].astype(dict.fromkeys(NAMED, object))
    conditions["set_kind"] = [re.sub(r"-\d+$", "", name) for name in conditions["set"]]
    rows = rows[["role", "half", "task", "sample", *METRICS.values()]].assign(condition=condition_R)
    parts = []
    for (role, half), group in rows.groupby(["role", "half"], sort=False, observed=True):
        number_R, kept = pd.factorize(group["condition"])
        baseline = unedited[unedited["half"] == half]
        cells = [
            _cell(task, cell, conditions.iloc[kept], baseline[baseline["task"] == task], reference, target)
            for task, cell in group.assign(condition=number_R).groupby("task", sort=False, observed=True)
        ]
        few_C = ~conditions["set_kind"].iloc[kept].isin(NUMEROUS).to_numpy()
        for subset in ("half", "critical"):
            named = {"role": role, "half": half, "subset": subset, "seed": seed}
            for shown_C, facts, columns in _summaries(cells, few_C, subset, half, seed, draws):
                parts.append((kept[shown_C], named | facts, columns))
    table = _assembled(conditions, parts)
    if not same_goal:
        table.loc[table["metric"] == "kl", ["change", "change_lo", "change_hi"]] = np.nan
    return table


def _assembled(conditions: pd.DataFrame, parts: list[tuple[np.ndarray, dict, dict[str, np.ndarray]]]) -> pd.DataFrame:
    """One table of parts that hold numbers of conditions, what all their rows share, and columns of as many values."""
    number_R = np.concatenate([number_C for number_C, _, _ in parts])
    rows_P = [len(number_C) for number_C, _, _ in parts]
    table = {name: conditions[name].to_numpy()[number_R] for name in CONDITION}
    table |= {name: np.repeat([facts[name] for _, facts, _ in parts], rows_P) for name in parts[0][1]}
    table |= {name: np.concatenate([columns[name] for _, _, columns in parts]) for name in parts[0][2]}
    return pd.DataFrame(table)[COLUMNS]


def _cell(
    task: str, rows: pd.DataFrame, conditions_C: pd.DataFrame, unedited: pd.DataFrame, reference: str, target: str
) -> Cell:
    edited, before = Grid.of(rows, "condition"), Grid.of(unedited, "state")
    missing = {*conditions_C["state"], reference, target} - set(before.conditions)
    if missing:
        raise ValueError(f"task {task}: no unedited rows of {', '.join(sorted(missing))}")
    if not edited.prompts.equals(before.prompts):
        raise ValueError(f"task {task}: edited and unedited models were not run on the same prompts")
    edited_NC = {metric: edited.values(rows[column]) for metric, column in METRICS.items()}
    unedited_NS = {metric: before.values(unedited[column]) for metric, column in METRICS.items()}
    reference_N, target_N = (unedited_NS["accuracy"][:, before.conditions.get_loc(s)] for s in (reference, target))
    state_C = before.conditions.get_indexer(conditions_C["state"])
    unedited_NC = {metric: x_NS.T[state_C].T for metric, x_NS in unedited_NS.items()}
    return Cell(task, edited_NC, unedited_NC, (reference_N == 0) & (target_N == 1))


def _summaries(
    cells: list[Cell], few_C: np.ndarray, subset: str, half: str, seed: int, draws: int
) -> Iterator[tuple[np.ndarray, dict, dict[str, np.ndarray]]]:
    """Of every task with prompts in the subset, then of their mean: conditions shown, what it is, its columns."""
    kept = [(cell, cell.critical_N if subset == "critical" else np.ones(len(cell.critical_N), bool)) for cell in cells]
    kept = [(cell, mask_N) for cell, mask_N in kept if mask_N.any()]
    drawn = [
        (cell, mask_N, task_resamples(int(mask_N.sum()), draws, seed, cell.task, half, subset)) for cell, mask_N in kept
    ]
    for metric in METRICS if kept else ():
        scored = [~np.isnan(cell.edited_NC[metric]).any(axis=0) for cell, _ in kept]
        few = [few_C & scored_C for scored_C in scored]
        shown_C = np.all(scored if metric in FLIPPING else few, axis=0)
        alone = [Change.of(*one, metric, own_C) for one, own_C in zip(drawn, few, strict=True)]
        together = alone
        if not all(np.array_equal(shown_C, own_C) for own_C in few):
            together = [Change.of(*one, metric, shown_C) for one in drawn]
        for (cell, _), own_C, change in zip(kept, few, alone, strict=True):
            yield own_C, {"task": cell.task, "metric": metric, "n": change.n}, _summary([change], metric)
        n = sum(change.n for change in together)
        yield shown_C, {"task": ROLE_MEAN, "metric": metric, "n": n}, _summary(together, metric)


@dataclass(frozen=True)
class Change:
    """One task's prompts of a subset under C conditions: right and wrong before and after, and resampled means."""

    n: int
    after: Resampled
    change: Resampled
    gained_C: np.ndarray  # prompts that an edit turns from 0 to 1
    lost_C: np.ndarray

    @classmethod
    def of(cls, cell: Cell, mask_N: np.ndarray, weights_DN: np.ndarray, metric: str, kept_C: np.ndarray) -> "Change":
        a_NC = cell.edited_NC[metric][mask_N][:, kept_C]
        b_NC = cell.unedited_NC[metric][mask_N][:, kept_C]
        gained_C, lost_C = ((x == 1) & (y == 0) for x, y in ((a_NC, b_NC), (b_NC, a_NC)))
        resampled = resampled_mean(a_NC, weights_DN), resampled_mean(a_NC - b_NC, weights_DN)
        return cls(len(a_NC), *resampled, gained_C.sum(axis=0), lost_C.sum(axis=0))


def _summary(tasks: list[Change], metric: str) -> dict[str, np.ndarray]:
    """Columns over conditions: the mean over the given tasks and its change, with intervals; flips."""
    value, change = (mean_of_means([getattr(task, name) for task in tasks]) for name in ("after", "change"))
    gained_C, lost_C = (sum(getattr(task, name) for task in tasks) for name in ("gained_C", "lost_C"))
    flips = {"wrong_to_right": gained_C, "right_to_wrong": lost_C}
    if metric not in FLIPPING:
        flips = {name: np.full(len(x_C), np.nan) for name, x_C in flips.items()}
    changes = {f"change_{bound}".removesuffix("_value"): x_C for bound, x_C in change._asdict().items()}
    return value._asdict() | changes | flips

"""The set against each rival, prompt by prompt (docs/method.md, section 8): what the ledger of claims reads.

One row per procedure, state, edit, rival, form, role, task and metric. A family of rivals (random sets, rotations,
random directions) is its per-prompt mean over members; beside it stands the share of members that the set exceeds in
the direction of its goal, which is up where the reference is to become the tuned model and down the other way round.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from rlgen.stats import bounds, task_resamples
from rlgen.tables import ROLE_MEAN, UNEDITED, Grid, in_categories

KEY = ["procedure", "state", "edit"]
COLUMNS = [*KEY, "rival", "form", "role", "task", "half", "metric", "n", "members", "set_value", "rival_value"]
COLUMNS += ["difference", "lo", "hi", "set_change", "rival_change", "share_exceeded", "seed"]
COMPARED = {"accuracy": "correct", "answer_logprob": "answer_logprob"}
NAMED = [*KEY, "set", "form", "role", "task", "sample"]
READ = [*NAMED, *COMPARED.values()]  # what is read of tables that hold more
STEERED = ("truth", "header")  # edits without a dictionary that only the steering runs, at their own doses
SELECTED, HALF = "selected", "test"


def comparisons(rows: pd.DataFrame, steering: pd.DataFrame, *, target: str, seed: int, draws: int) -> pd.DataFrame:
    """All comparisons of one procedure and seed, on the test half; empty where nothing was edited.

    `rows` are the procedure's per-prompt rows, `steering` those of edits without a dictionary and of unedited models.
    """
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    kept = [table[table["chosen"].astype(bool) & (table["half"] == HALF)][READ] for table in (rows, steering)]
    chosen, steered = in_categories(kept, NAMED)
    found = []
    for key, own in chosen.groupby(KEY, sort=False, observed=True):
        state = key[1]
        others = steered[(steered["state"] == state) & steered["edit"].isin(STEERED)]
        unedited = steered[(steered["state"] == state) & (steered["edit"] == UNEDITED)]
        sign = -1 if state.partition("@")[0] == target.partition("@")[0] else 1
        for role, group in own.groupby("role", sort=False, observed=True):
            everyone = pd.concat([group, others[others["role"] == role]], ignore_index=True)
            base = unedited[unedited["role"] == role]
            for row in _of_role(everyone, base, sign, seed, draws):
                found.append(dict(zip(KEY, key, strict=True)) | {"role": role, "half": HALF, "seed": seed} | row)
    return pd.DataFrame(found).reindex(columns=COLUMNS)


def _of_role(rows: pd.DataFrame, unedited: pd.DataFrame, sign: int, seed: int, draws: int) -> Iterator[dict]:
    """Rows of every rival, form and metric: every task of a role, then their mean."""
    rows = rows.assign(condition=_conditions(rows))
    own = {task: group for task, group in rows.groupby("task", sort=False, observed=True)}
    tasks, grids = list(own), {task: Grid.of(group, "condition") for task, group in own.items()}
    weights = {task: task_resamples(len(grid.prompts), draws, seed, task, HALF, "half") for task, grid in grids.items()}
    for metric, column in COMPARED.items():
        cells = {}
        for task, grid in grids.items():
            before = unedited[unedited["task"] == task].set_index("sample")[column].astype(float)
            cells[task] = _cells(grid, grid.values(own[task][column]), before)
        keys = list(cells[tasks[0]])
        drawn_RTD = [[weights[task] @ cells[task][key].difference_N for task in tasks] for key in keys]
        columns = [column_D for drawn_TD in drawn_RTD for column_D in (*drawn_TD, np.mean(drawn_TD, axis=0))]
        intervals = bounds(np.stack(columns, axis=1)).T if keys else []
        places = [(key, some) for key in keys for some in (*([task] for task in tasks), tasks)]
        for (key, some), (lo, hi) in zip(places, intervals, strict=True):
            name = ROLE_MEAN if some is tasks else some[0]
            named = {"rival": key[0], "form": key[1], "task": name, "metric": metric}
            yield named | _compared([cells[task][key] for task in some], sign) | {"lo": float(lo), "hi": float(hi)}


def _conditions(rows: pd.DataFrame) -> pd.Categorical:
    """`kind form set` of every row, sorted; made once for every pair of a set and a form."""
    (set_R, sets), (form_R, forms) = (pd.factorize(rows[key]) for key in ("set", "form"))
    kinds = [re.sub(r"-\d+$", "", name) for name in sets]
    names = [f"{kind} {form} {name}" for kind, name in zip(kinds, sets, strict=True) for form in forms]
    order = sorted(range(len(names)), key=names.__getitem__)
    return pd.Categorical.from_codes(np.argsort(order)[set_R * len(forms) + form_R], [names[i] for i in order])


@dataclass(frozen=True)
class Cell:
    """One task: the set, the K members of one rival in one form, and the unedited model, on the same N prompts."""

    set_N: np.ndarray
    members_NK: np.ndarray
    before_N: np.ndarray

    @cached_property
    def difference_N(self) -> np.ndarray:
        """The set beside the mean of its rival's members."""
        return self.set_N - self.members_NK.mean(1)

    @cached_property
    def means(self) -> tuple[float, float, float, np.ndarray]:
        """Over prompts: of the set, the unedited model, the difference, and every member."""
        return self.set_N.mean(), self.before_N.mean(), self.difference_N.mean(), self.members_NK.mean(0)


def _cells(grid: Grid, value_NC: np.ndarray, before: pd.Series) -> dict[tuple[str, str], Cell]:
    """(rival, form) -> its cell, in the order of the conditions of one task."""
    before_N = before.reindex(grid.prompts).to_numpy()
    if np.isnan(before_N).any():
        raise ValueError("edited and unedited models were not run on the same prompts")
    value_CN, places = value_NC.T, {}
    if np.isnan(value_CN).any():
        raise ValueError("a value is missing (NaN); score every prompt before its interval is asked for")
    for c, condition in enumerate(grid.conditions):
        places.setdefault(tuple(condition.split(" ")[:2]), []).append(c)
    (set_N,) = (value_CN[rows[0]] for (kind, _), rows in places.items() if kind == SELECTED)
    return {key: Cell(set_N, value_CN[rows].T, before_N) for key, rows in places.items() if key[0] != SELECTED}


def _compared(cells: list[Cell], sign: int) -> dict:
    """The set and the mean of a rival's members, means over tasks; without the interval of their difference."""
    set_T, before_T, difference_T, member_TK = zip(*(cell.means for cell in cells), strict=True)
    set_value, before = float(np.mean(set_T)), float(np.mean(before_T))
    member_K = np.mean(member_TK, axis=0)
    return {
        "n": sum(len(c.set_N) for c in cells),
        "members": len(member_K),
        "set_value": set_value,
        "rival_value": float(member_K.mean()),
        "difference": float(np.mean(difference_T)),
        "set_change": set_value - before,
        "rival_change": float(member_K.mean()) - before,
        "share_exceeded": float((sign * (set_value - member_K) > 0).mean()),
    }

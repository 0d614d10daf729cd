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
from rlgen.tables import ROLE_MEAN, UNEDITED, prompts_by_condition

KEY = ["procedure", "state", "edit"]
COLUMNS = [*KEY, "rival", "form", "role", "task", "half", "metric", "n", "members", "set_value", "rival_value"]
COLUMNS += ["difference", "lo", "hi", "set_change", "rival_change", "share_exceeded", "seed"]
COMPARED = {"accuracy": "correct", "answer_logprob": "answer_logprob"}
STEERED = ("truth", "header")  # edits without a dictionary that only the steering runs, at their own doses
SELECTED, HALF = "selected", "test"


def comparisons(rows: pd.DataFrame, steering: pd.DataFrame, *, target: str, seed: int, draws: int) -> pd.DataFrame:
    """All comparisons of one procedure and seed, on the test half; empty where nothing was edited.

    `rows` are the procedure's per-prompt rows, `steering` those of edits without a dictionary and of unedited models.
    """
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    chosen = rows[rows["chosen"].astype(bool) & (rows["half"] == HALF)]
    steered = steering[steering["chosen"].astype(bool) & (steering["half"] == HALF)]
    found = []
    for key, own in chosen.groupby(KEY, sort=False):
        state = key[1]
        others = steered[(steered["state"] == state) & steered["edit"].isin(STEERED)]
        unedited = steered[(steered["state"] == state) & (steered["edit"] == UNEDITED)]
        sign = -1 if state.partition("@")[0] == target.partition("@")[0] else 1
        for role, group in own.groupby("role", sort=False):
            parts = [group, others[others["role"] == role]]
            everyone = pd.concat([part for part in parts if len(part)], ignore_index=True)
            base = unedited[unedited["role"] == role]
            for row in _of_role(everyone, base, sign, seed, draws):
                found.append(dict(zip(KEY, key, strict=True)) | {"role": role, "half": HALF, "seed": seed} | row)
    return pd.DataFrame(found).reindex(columns=COLUMNS)


def _of_role(rows: pd.DataFrame, unedited: pd.DataFrame, sign: int, seed: int, draws: int) -> Iterator[dict]:
    """Rows of every rival, form and metric: every task of a role, then their mean."""
    tasks = list(dict.fromkeys(rows["task"]))
    rows = rows.assign(condition=_conditions(rows))
    own = {task: rows[rows["task"] == task] for task in tasks}
    weights = {}
    for metric, column in COMPARED.items():
        cells = {}
        for task in tasks:
            before = unedited[unedited["task"] == task].set_index("sample")[column].astype(float)
            wide = prompts_by_condition(own[task], "condition", column)
            cells[task] = _cells(wide, before)
            if task not in weights:
                weights[task] = task_resamples(len(wide), draws, seed, task, HALF, "half")
        keys = list(cells[tasks[0]])
        drawn_RTD = [[weights[task] @ cells[task][key].difference_N for task in tasks] for key in keys]
        columns = [column_D for drawn_TD in drawn_RTD for column_D in (*drawn_TD, np.mean(drawn_TD, axis=0))]
        intervals = bounds(np.stack(columns, axis=1)).T if keys else []
        places = [(key, some) for key in keys for some in (*([task] for task in tasks), tasks)]
        for (key, some), (lo, hi) in zip(places, intervals, strict=True):
            name = ROLE_MEAN if some is tasks else some[0]
            named = {"rival": key[0], "form": key[1], "task": name, "metric": metric}
            yield named | _compared([cells[task][key] for task in some], sign) | {"lo": float(lo), "hi": float(hi)}


def _conditions(rows: pd.DataFrame) -> np.ndarray:
    """`kind form set` of every row; made once for every pair of a set and a form."""
    (set_R, sets), (form_R, forms) = pd.factorize(rows["set"]), pd.factorize(rows["form"])
    kinds = [re.sub(r"-\d+$", "", name) for name in sets]
    names = [f"{kind} {form} {name}" for kind, name in zip(kinds, sets, strict=True) for form in forms]
    return np.array(names, dtype=object)[set_R * len(forms) + form_R]


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


def _cells(wide: pd.DataFrame, before: pd.Series) -> dict[tuple[str, str], Cell]:
    """(rival, form) -> its cell, in the order of the conditions of one task."""
    before_N = before.reindex(wide.index).to_numpy()
    if np.isnan(before_N).any():
        raise ValueError("edited and unedited models were not run on the same prompts")
    wide_CN, places = wide.to_numpy().T, {}
    if np.isnan(wide_CN).any():
        raise ValueError("a value is missing (NaN); score every prompt before its interval is asked for")
    for c, condition in enumerate(wide.columns):
        places.setdefault(tuple(condition.split(" ")[:2]), []).append(c)
    (set_N,) = (wide_CN[rows[0]] for (kind, _), rows in places.items() if kind == SELECTED)
    return {key: Cell(set_N, wide_CN[rows].T, before_N) for key, rows in places.items() if key[0] != SELECTED}


def _compared(cells: list[Cell], sign: int) -> dict:
    """The set and the mean of a rival's members, means over tasks; without the interval of their difference."""
    set_value, before = (
        float(np.mean([x.mean() for x in xs])) for xs in zip(*((c.set_N, c.before_N) for c in cells), strict=True)
    )
    member_K = np.mean([c.members_NK.mean(0) for c in cells], axis=0)
    return {
        "n": sum(len(c.set_N) for c in cells),
        "members": len(member_K),
        "set_value": set_value,
        "rival_value": float(member_K.mean()),
        "difference": float(np.mean([c.difference_N.mean() for c in cells])),
        "set_change": set_value - before,
        "rival_change": float(member_K.mean()) - before,
        "share_exceeded": float((sign * (set_value - member_K) > 0).mean()),
    }

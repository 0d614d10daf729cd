"""The set against each rival, prompt by prompt (docs/method.md, section 8): what the ledger of claims reads.

One row per procedure, state, edit, rival, form, role, task and metric. A family of rivals (random sets, rotations,
random directions) is its per-prompt mean over members; beside it stands the share of members that the set exceeds in
the direction of its goal, which is up where the reference is to become the tuned model and down the other way round.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rlgen.seeds import stream_seed
from rlgen.stats import resamples, task_mean_interval
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
    family = rows["set"].str.replace(r"-\d+$", "", regex=True)
    tasks = list(dict.fromkeys(rows["task"]))
    for metric, column in COMPARED.items():
        wide = {task: _wide(rows[rows["task"] == task], family, column) for task in tasks}
        before = {task: unedited[unedited["task"] == task].set_index("sample")[column].astype(float) for task in tasks}
        weights = {
            task: resamples(
                len(wide[task]), draws, np.random.default_rng(stream_seed(seed, "bootstrap", task, HALF, "half"))
            )
            for task in tasks
        }
        rivals = [key for key in dict.fromkeys((kind, form) for kind, form, _ in wide[tasks[0]]) if key[0] != SELECTED]
        for rival, form in rivals:
            for some in [*([task] for task in tasks), tasks]:
                cells = [_Cell(wide[task], before[task], rival, form) for task in some]
                name = some[0] if len(some) == 1 and some is not tasks else ROLE_MEAN
                named = {"rival": rival, "form": form, "task": name, "metric": metric}
                yield named | _compared(cells, [weights[task] for task in some], sign)


def _wide(rows: pd.DataFrame, family: pd.Series, column: str) -> pd.DataFrame:
    """Prompts of one task against (kind, form, set)."""
    keys = pd.MultiIndex.from_arrays([family[rows.index], rows["form"], rows["set"]])
    table = prompts_by_condition(rows.assign(condition=[" ".join(key) for key in keys]), "condition", column)
    table.columns = pd.MultiIndex.from_tuples([tuple(name.split(" ")) for name in table.columns])
    return table


class _Cell:
    """One task: the set, the members of one rival, and the unedited model, on the same N prompts."""

    def __init__(self, wide: pd.DataFrame, before: pd.Series, rival: str, form: str) -> None:
        self.set_N = wide[SELECTED].iloc[:, 0].to_numpy()
        self.members_NK = wide[rival][form].to_numpy()
        self.before_N = before.reindex(wide.index).to_numpy()
        if np.isnan(self.before_N).any():
            raise ValueError("edited and unedited models were not run on the same prompts")


def _compared(cells: list[_Cell], weights: list[np.ndarray], sign: int) -> dict:
    """Paired difference of the set and the mean of a rival's members, means over tasks."""
    difference = task_mean_interval([c.set_N - c.members_NK.mean(1) for c in cells], weights)
    set_value, before = (
        float(np.mean([x.mean() for x in xs])) for xs in zip(*((c.set_N, c.before_N) for c in cells), strict=True)
    )
    member_K = np.mean([c.members_NK.mean(0) for c in cells], axis=0)
    return {
        "n": sum(len(c.set_N) for c in cells),
        "members": len(member_K),
        "set_value": set_value,
        "rival_value": float(member_K.mean()),
        "difference": float(difference.value),
        "lo": float(difference.lo),
        "hi": float(difference.hi),
        "set_change": set_value - before,
        "rival_change": float(member_K.mean()) - before,
        "share_exceeded": float((sign * (set_value - member_K) > 0).mean()),
    }

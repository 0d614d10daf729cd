"""What a procedure's edits do, as rows of its page: before and after, and against the rivals."""

import pandas as pd

from rlgen.tables import ROLE_MEAN

ROLE_TITLES = {"in_domain": "in-domain", "selection": "selection", "unseen": "unseen"}
CHANGE = ["change", "change_lo", "change_hi"]
EFFECT_COLUMNS = ["procedure", "state", "edit", "set_kind", "dose", "chosen", "role", "task", "half", "subset", "n"]
EFFECT_COLUMNS += ["metric", "value", *CHANGE, "wrong_to_right", "right_to_wrong", "seed"]
RIVAL_COLUMNS = ["procedure", "state", "edit", "rival", "form", "role", "task", "half", "metric", "members"]
RIVAL_COLUMNS += ["set_value", "rival_value", "difference", "lo", "hi", "seed"]
FORMS = {"own_dose": "each at its own dose", "equal_norm": "adding as much", "set_dose": "at the set's dose"}


def effect_rows(effects: pd.DataFrame, procedure: str) -> list[dict]:
    """The set at its chosen dose on the test half: a row per seed, state, edit and task, means over a role's first."""
    where = (effects["procedure"] == procedure) & (effects["set_kind"] == "selected") & effects["chosen"].astype(bool)
    rows = effects[where & (effects["half"] == "test") & (effects["subset"] == "half")]
    kl = rows[rows["metric"] == "kl"].set_index(["seed", "state", "edit", "role", "task"])["value"].to_dict()
    rows = rows[rows["metric"] == "accuracy"]
    rows = rows.assign(
        before=rows["value"] - rows["change"],
        title=rows["role"].map(ROLE_TITLES),
        mean=rows["task"] == ROLE_MEAN,
        kl=[kl.get(key) for key in rows[["seed", "state", "edit", "role", "task"]].itertuples(index=False, name=None)],
    )
    order = ["seed", "state", "edit", "role", "mean", "task"]
    ascending = [True, True, True, True, False, True]
    return rows.sort_values(order, ascending=ascending, kind="stable").to_dict("records")


def rival_rows(comparisons: pd.DataFrame, procedure: str) -> list[dict]:
    """The set against every rival on the mean over a role's tasks: a row per seed, state, edit, rival and form."""
    where = (comparisons["procedure"] == procedure) & (comparisons["task"] == ROLE_MEAN)
    rows = comparisons[where & (comparisons["metric"] == "accuracy") & (comparisons["half"] == "test")]
    rows = rows.assign(title=rows["role"].map(ROLE_TITLES), how=rows["form"].map(FORMS))
    return rows.sort_values(["seed", "state", "edit", "role", "rival", "form"], kind="stable").to_dict("records")

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
    rows = rows.assign(before=rows["value"] - rows["change"])
    keys = ["seed", "state", "edit", "role", "task"]
    kl = rows[rows["metric"] == "kl"].set_index(keys)[["before", "value"]].add_prefix("kl_")
    rows = rows[rows["metric"] == "accuracy"].join(kl, on=keys)
    rows = rows.assign(title=rows["role"].map(ROLE_TITLES), mean=rows["task"] == ROLE_MEAN)
    order = ["seed", "state", "edit", "role", "mean", "task"]
    ascending = [True, True, True, True, False, True]
    return rows.sort_values(order, ascending=ascending, kind="stable").to_dict("records")


def text_rows(texts: pd.DataFrame) -> list[dict]:
    """Groups of completions of one seed: state, edit, dose, role, task, and the rows, in their order."""
    keys = ["state", "edit", "dose", "role", "task"]
    return [
        dict(zip(keys, names, strict=True)) | {"title": ROLE_TITLES[names[3]], "rows": rows.to_dict("records")}
        for names, rows in texts.groupby(keys, sort=False)
    ]


def rival_rows(comparisons: pd.DataFrame, procedure: str) -> list[dict]:
    """The set against every rival on the mean over a role's tasks: a row per seed, state, edit, rival and form."""
    where = (comparisons["procedure"] == procedure) & (comparisons["task"] == ROLE_MEAN)
    rows = comparisons[where & (comparisons["metric"] == "accuracy") & (comparisons["half"] == "test")]
    rows = rows.assign(title=rows["role"].map(ROLE_TITLES), how=rows["form"].map(FORMS))
    return rows.sort_values(["seed", "state", "edit", "role", "rival", "form"], kind="stable").to_dict("records")

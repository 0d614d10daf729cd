"""Tables of numbers, each twice: every number tidy, for machines; means and seeds side by side, for a page."""

import numpy as np
import pandas as pd

from rlgen.figures import exclusive, variants
from rlgen.figures.page import (
    AS_LONG,
    OWN_DOSE,
    SHIFT,
    SHIFT_IN_DOMAIN,
    Page,
    TasksPage,
    final_checkpoints,
    prompts,
)
from rlgen.tables import STEERING, UNEDITED

ACCURACY_COLUMNS = ["model", "checkpoint", "seed", "role", "task", "half", "n", "metric", "value", "lo", "hi"]
EFFECT_COLUMNS = [
    "procedure", "state", "edit", "set_kind", "set", "dose", "chosen", "role", "task", "half", "subset", "n", "metric",
    "value", "change", "change_lo", "change_hi", "wrong_to_right", "right_to_wrong", "seed",
]  # fmt: skip
FEATURE_COLUMNS = ["dictionary", "recipe", "seed", "alive", "nrn_l1", "nu_err", "nu_rec"]
QUALITY_COLUMNS = [
    "dictionary",
    "recipe",
    "seed",
    "member",
    "fve",
    "fve_swap",
    "l0",
    "dead_share",
    "loss_recovered",
    "rows",
]
READINGS = {"accuracy": "", "format_blind": ", format-blind", "own_format": ", own format", "strict": ", strict"}
QUALITY = {
    "fve": "variance explained",
    "fve_swap": "variance explained, one-sided",
    "l0": "L0",
    "dead_share": "dead share",
    "loss_recovered": "loss recovered",
}
OWN = {
    "alive": "alive latents",
    "tail": f"norm ratio above {exclusive.TAIL:g}",
    "exclusive_ours": "exclusive",
    "exclusive_public": "exclusive, public cut",
}  # of pairs, for the post-trained member
SENSITIVITY = {  # title -> quantity, column, digits
    "set": ("set_size", "value", 0),
    "alive": ("alive", "value", 0),
    "matched share": ("matched_share", "value", 2),
    "overlap": ("overlap", "value", 2),
    "overlap by chance": ("overlap", "chance", 2),
    "direction": ("direction", "value", 2),
    "direction by chance": ("direction", "chance", 2),
    "carried rank": ("carried_rank", "value", 2),
}
BEATEN = [(rival, form) for rival in ("size", "random", SHIFT_IN_DOMAIN) for form in (OWN_DOSE, AS_LONG)]
CONTROLS = {"random": "random sets", "nrn": "top by NRN", SHIFT: "mean shift, as long"}
KEYS = ["procedure", "state", "edit", "role", "subset", "seed"]


def table1(page: TasksPage, accuracy: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Final accuracies on the test half: (one row per model, task and seed; one row per task, seeds side by side)."""
    rows = final_checkpoints(accuracy)
    rows = rows[(rows["half"] == "test") & rows["metric"].isin(READINGS)]
    tidy = rows[["role", "task", "model", "metric", "seed", "n", "value", "lo", "hi"]]
    models = [*page.roles.models(), *sorted(set(rows["model"]) - set(page.roles.models()))]
    compared, read, lines = page.roles.models(), set(rows["metric"]), []
    for role in page.task_roles():
        for task in [*getattr(page.tasks, role), "ALL"]:
            cells = rows[(rows["role"] == role) & (rows["task"] == task)]
            line = {"tasks": role.replace("_", "-"), "task": "mean" if task == "ALL" else task}
            line["n"] = prompts(cells, role) if len(cells) else ""
            for model in models:
                for metric, title in READINGS.items():
                    own = cells[(cells["model"] == model) & (cells["metric"] == metric)]
                    if metric == "accuracy" or (model in compared and metric in read):
                        line[f"{model}{title}"] = _seeds(own)
            lines.append(line)
    return _sorted(tidy), pd.DataFrame(lines)


def table2(page: Page, effects: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Effects at the chosen dose on the test half, whole and critical: (per seed with controls; seeds side by side)."""
    where = (effects["half"] == "test") & (effects["metric"] == "accuracy") & (effects["task"] == "ALL")
    rows = effects[where & effects["chosen"].astype(bool) & (effects["edit"] != UNEDITED)]
    main = rows[(rows["set_kind"] == "selected") | (rows["procedure"] == STEERING) & (rows["set_kind"] != "direction")]
    controls = rows.drop(main.index).groupby([*KEYS, "set_kind"])["change"].agg(["mean", "min", "max", "size"])
    controls = controls.reindex(columns=["mean", "min", "max", "size"]).unstack("set_kind")
    controls.columns = [f"{kind}_{statistic}" for statistic, kind in controls.columns]
    columns = [*KEYS, "dose", "n", "value", "change", "change_lo", "change_hi", "wrong_to_right", "right_to_wrong"]
    tidy = main[columns].merge(controls[sorted(controls.columns)].reset_index(), on=KEYS, how="outer")
    lines = []
    for names, cells in tidy.groupby(["procedure", "state", "edit", "subset", "role"], sort=True):
        line = dict(zip(["procedure", "model", "edit", "samples", "tasks"], names, strict=True))
        line["tasks"] = line["tasks"].replace("_", "-")
        line["samples"] = {"half": "all", "critical": "critical"}.get(line["samples"], line["samples"])
        line |= {"accuracy": _seeds(cells), "change": _seeds(cells, "change", signed=True)}
        for kind, title in CONTROLS.items():
            line[title] = _seeds(cells, f"{kind}_mean", signed=True) if f"{kind}_mean" in cells else "–"
        flips = cells[["wrong_to_right", "right_to_wrong"]].mean()
        line["gained / lost answers"] = " / ".join("–" if np.isnan(v) else f"{v:.0f}" for v in flips)
        lines.append(line)
    wide = pd.DataFrame(lines)
    return _sorted(tidy), wide


def table3(page: Page, quality: pd.DataFrame, features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Quality of every dictionary on held-out rows: (one row per seed and member; seeds side by side).

    Pairs also say, in the rows of the post-trained member, how many latents are its own, by both cuts.
    """
    own = exclusive.table(features)
    last = quality.drop_duplicates(["dictionary", "recipe", "seed"], keep="last")[
        ["dictionary", "recipe", "seed", "member"]
    ]
    quality = quality.merge(last.merge(own), how="left")
    lines = []
    for names, cells in quality.groupby(["dictionary", "recipe", "member"], sort=False):
        line = dict(zip(["dictionary", "recipe", "member"], names, strict=True))
        line |= {title: _seeds(cells, column, digits=1 if column == "l0" else 2) for column, title in QUALITY.items()}
        line |= {title: _seeds(cells, column, digits=0) for column, title in OWN.items()}
        lines.append(line)
    return quality[[*QUALITY_COLUMNS, *OWN]], pd.DataFrame(lines)


def table5(page: variants.Settings, sensitivity: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Variants of the main procedure: (every number; one row per variant, seeds side by side)."""
    rows, lines = variants.readable(sensitivity), []
    rows = rows[rows["metric"].isin(["", "accuracy"])]
    other = variants.changed_verdicts(rows, page.main)
    named = {"main": {page.main: ""}} | page.factors
    for factor, name, change in [
        (f, name, entries[name]) for f, entries in named.items() for name in variants.in_order(entries)
    ]:
        own = rows[rows["variant"] == name]
        line = {"factor": factor, "variant": name, "changes": change or "–"}
        for title, (quantity, column, digits) in SENSITIVITY.items():
            cells = variants.own_rows(own[own["quantity"] == quantity])
            line[title] = _seeds(cells, column, digits=digits)
        for state, role in (
            (page.roles.reference, "selection"),
            (page.roles.reference, "unseen"),
            (page.target, "selection"),
        ):
            cells = own[(own["state"] == state) & (own["role"] == role)]
            place = f"{state}, {role}"
            effect = variants.own_rows(cells[cells["quantity"] == "effect"])
            line[f"{place}: change"] = _seeds(effect, signed=True)
            line[f"{place}: minus main"] = _seeds(cells[cells["quantity"] == "against_main"], signed=True)
            for rival, form in BEATEN:
                beaten = cells[
                    (cells["quantity"] == "difference") & (cells["rival"] == rival) & (cells["form"] == form)
                ]
                line[f"{place}: minus {rival}, {form.replace('_', ' ')}"] = _seeds(beaten, signed=True)
        line["verdicts changed"] = "{}/{}".format(*other[name]) if name in other else "–"
        lines.append(line)
    return sensitivity, pd.DataFrame(lines)


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of their names, so that the order of the input cannot show."""
    keys = [
        c for c in ("procedure", "state", "edit", "role", "task", "model", "metric", "subset", "seed") if c in table
    ]
    return table.sort_values(keys, kind="stable").reset_index(drop=True)


def _seeds(cells: pd.DataFrame, column: str = "value", signed: bool = False, digits: int = 2) -> str:
    """Mean over seeds, then every seed: `0.27 (0.24, 0.27, 0.30)`; a dash where nothing was measured."""
    values = cells.sort_values("seed").drop_duplicates("seed")[column].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return "–"
    form = f"{{:{'+' if signed else ''}.{digits}f}}"
    each = ", ".join(form.format(v) for v in values)
    return form.format(values.mean()) + (f" ({each})" if len(values) > 1 else "")

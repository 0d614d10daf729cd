"""How effects of edits are drawn: one row per edit and rival, selected against random sets, and dose curves."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rlgen.figures import style, wording
from rlgen.figures.page import AS_LONG, SHIFT, SHIFT_IN_DOMAIN, Settings
from rlgen.tables import STEERING, UNEDITED

COLUMNS = [
    "procedure", "state", "edit", "set_kind", "set", "form", "dose", "chosen", "role", "task", "half", "n", "metric",
    "value", "change", "change_lo", "change_hi", "seed", "subset",
]  # fmt: skip
RANDOM_DIRECTION = "direction"
LANES = 0.62  # share of a row over which seeds spread
SHIFT_MARKERS = {SHIFT: "D", SHIFT_IN_DOMAIN: "d"}
RIVALS = {  # edits without a dictionary, each at its own dose
    SHIFT: ("mean shift, selection", style.SHIFT_COLOUR),
    SHIFT_IN_DOMAIN: ("mean shift, in-domain", style.SHIFT_COLOUR),
    "truth": ("planted truth", style.TRUTH_COLOUR),
    RANDOM_DIRECTION: ("random directions", style.GREY),
}


class Line(NamedTuple):
    """One row of a forest: what was done to the running model."""

    procedure: str
    edit: str
    label: str
    colour: str


def reported(effects: pd.DataFrame) -> pd.DataFrame:
    """What the pages report: accuracy of role means on the whole test half.

    Adds `part`: what a row is drawn as. "main": the selected set, or a rival at its own dose; "random": matched random
    sets, or random directions as a rival; "nrn": the top of the NRN ranking; "turned": the set's own change
    rotated, and random directions of its length; the mean shifts of its length keep their names.
    """
    where = (effects["half"] == "test") & (effects["subset"] == "half") & (effects["task"] == "ALL")
    shown = (effects["set_kind"] == "selected") | (effects["procedure"] == STEERING) | (effects["form"] == AS_LONG)
    rows = effects[where & shown & (effects["metric"] == "accuracy")].copy()
    rows["part"] = rows["set_kind"].replace({"selected": "main", "rotated": "turned", RANDOM_DIRECTION: "turned"})
    steering = rows["procedure"] == STEERING
    rows.loc[steering, "part"] = np.where(rows.loc[steering, "edit"] == RANDOM_DIRECTION, "random", "main")
    return rows


def lines_of(page: Settings, rows: pd.DataFrame, state: str) -> list[Line]:
    """Edits of the procedures in this state, then the rivals that the study steered with."""
    lines = [
        Line(name, edit, f"{name}: {edit}", style.procedure_colour(page, name))
        for name, procedure in page.procedures.items()
        for edit in procedure.edits.get(state, [])
    ]
    steered = set(rows.loc[(rows["procedure"] == STEERING) & (rows["state"] == state), "edit"])
    return lines + [Line(STEERING, e, label, colour) for e, (label, colour) in RIVALS.items() if e in steered]


def question(page: Settings, state: str) -> str:
    """What an edit of this state asks."""
    if state == page.roles.reference:
        return f"Amplified in {state}: does accuracy rise?"
    if direction(page, state) < 0:
        return f"Disabled in {state}: does accuracy fall?"
    return f"Edited in {state}: does accuracy come back?"


def direction(page: Settings, state: str) -> int:
    """The sign of the change that would confirm the claim: down in the target, up elsewhere."""
    return -1 if state.split("@")[0] == page.roles.target else 1


def unedited(rows: pd.DataFrame, state: str, role: str) -> pd.Series:
    """Accuracy of the unedited model, by seed."""
    cells = rows[(rows["state"] == state) & (rows["role"] == role) & (rows["edit"] == UNEDITED)]
    return cells.groupby("seed")["value"].mean()


def forest(ax: Axes, page: Settings, rows: pd.DataFrame, state: str, role: str, seeds: list[int]) -> None:
    """One row per edit: selected set of each seed with its paired interval, random sets, the top of the NRN ranking."""
    lines = lines_of(page, rows, state)
    cells = rows[(rows["state"] == state) & (rows["role"] == role)]
    levels = unedited(rows, state, role)
    _guides(ax, page, rows, state, role)
    for y, line in enumerate(lines):
        own = cells[
            (cells["procedure"] == line.procedure) & (cells["edit"] == line.edit) & cells["chosen"].astype(bool)
        ]
        if own.empty:
            ax.text(0.02, y, "no set: nothing to edit", va="center", fontsize=8.5, style="italic", **style.CLEAR)
            continue
        _row(ax, line, own, levels, y, seeds)
        for seed in sorted(set(seeds) - set(own["seed"])):
            at = y + style.lane(seed, seeds, LANES)
            ax.text(0.02, at, f"seed {seed}: nothing to edit", va="center", fontsize=8, style="italic", **style.CLEAR)
        style.beside(ax, 1.02, y, _words(page, state, line, own), fontsize=8.5)
    style.beside(ax, 1.02, -0.72, "set | random | shift | wins", fontsize=8, color="#555555")
    ax.set_yticks(range(len(lines)), [line.label for line in lines])
    ax.set_ylim(max(len(lines), 1) - 0.45, -0.55)
    ax.set_xlim(-0.02, 1.02)
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")
    if not lines:
        style.say(ax, f"no procedure edits {state}")


def _row(ax: Axes, line: Line, own: pd.DataFrame, levels: pd.Series, y: float, seeds: list[int]) -> None:
    """The marks of one row; seeds lie below one another."""
    for seed, cells in own[own["part"] == "turned"].groupby("seed"):
        at = y + style.lane(seed, seeds, LANES)
        ax.plot(
            [cells["value"].min(), cells["value"].max()],
            [at, at],
            color=style.PALE,
            lw=5,
            solid_capstyle="butt",
            zorder=1,
        )
    for r in own.itertuples():
        at = y + style.lane(r.seed, seeds, LANES)
        if r.part == "random":
            ax.plot(r.value, at, ".", color=style.GREY, ms=3.5, alpha=0.8, mew=0)
        elif r.part == "nrn":
            ax.plot(r.value, at, "o", color=style.GREY, mfc="white", ms=4.5)
        elif r.part in (SHIFT, SHIFT_IN_DOMAIN):
            ax.plot(r.value, at, SHIFT_MARKERS[r.part], color=style.SHIFT_COLOUR, mec="#555555", mew=0.7, ms=5)
        elif r.part == "main":
            level = levels.get(r.seed, r.value - r.change)
            ax.plot([level + r.change_lo, level + r.change_hi], [at, at], color=line.colour, lw=1.1)
            edge = "#555555" if line.colour == style.YELLOW else line.colour
            ax.plot(r.value, at, style.seed_marker(r.seed, seeds), color=line.colour, ms=5.5, mec=edge, mew=0.7)
    for seed, level in levels.items():
        at = y + style.lane(seed, seeds, LANES)
        ax.plot([level, level], [at - 0.13, at + 0.13], color="black", lw=1)
    main = own.loc[own["part"] == "main", "value"]
    if len(main):
        mean = main.mean()
        ax.plot([mean, mean], [y - 0.4, y + 0.4], color=line.colour, lw=2.4, alpha=0.45, solid_capstyle="butt")


def _words(page: Settings, state: str, line: Line, own: pd.DataFrame) -> str:
    """Mean change of the set, of random sets, of the mean shift as long; seeds whose set exceeds every random set."""
    mean = own.groupby("part")["change"].mean()
    if line.procedure == STEERING:
        return wording.change(mean.get("random" if line.edit == RANDOM_DIRECTION else "main", np.nan))
    random, main = own[own["part"] == "random"], own[own["part"] == "main"]
    sign = direction(page, state)
    best = (sign * random["change"]).groupby(random["seed"]).max()
    change = (sign * main["change"]).groupby(main["seed"]).mean()
    wins = int((change > best.reindex(change.index)).sum())
    numbers = [wording.change(mean.get(part, np.nan)) for part in ("main", "random", SHIFT)]
    return " | ".join([*numbers, f"{wins}/{len(change)}" if len(random) else "–"])


def _guides(ax: Axes, page: Settings, rows: pd.DataFrame, state: str, role: str) -> None:
    """Mean unedited level of the edited state (solid) and of the other models (dashed), in their colours."""
    for model in dict.fromkeys([state, *page.roles.models()]):
        level = unedited(rows, model, role)
        if len(level):
            own = model == state
            ax.axvline(
                level.mean(),
                color=style.model_colour(model, page.roles),
                lw=1.3 if own else 0.9,
                ls="-" if own else "--",
                alpha=0.6,
                zorder=0,
            )


def dose_curve(ax: Axes, page: Settings, rows: pd.DataFrame, state: str, role: str, seeds: list[int]) -> None:
    """Accuracy against dose: selected sets (thick: mean, thin: seeds), random sets at the chosen dose."""
    cells = rows[(rows["state"] == state) & (rows["role"] == role)]
    levels = unedited(rows, state, role)
    drawn = False
    for line in lines_of(page, rows, state):
        own = cells[(cells["procedure"] == line.procedure) & (cells["edit"] == line.edit)]
        if line.procedure == STEERING or own.empty:
            continue
        drawn = True
        first = page.procedures[line.procedure].edits[state][0] == line.edit
        main, random = own[own["part"] == "main"], own[own["part"] == "random"]
        for _, seed_rows in main.groupby("seed"):
            ax.plot(*_from_zero(seed_rows, levels), color=line.colour, lw=0.6, alpha=0.8)
        ax.plot(*_from_zero(main, levels), color=line.colour, lw=2, ls="-" if first else "-.")
        random = random[random["chosen"].astype(bool)]
        ax.plot(random["dose"], random["value"], ".", color=style.GREY, ms=3.5, alpha=0.8, mew=0)
        for r in main[main["chosen"].astype(bool)].itertuples():
            ax.plot(r.dose, r.value, style.seed_marker(r.seed, seeds), color=line.colour, ms=5)
    if not drawn:
        style.say(ax, "nothing was edited at any dose")
        return
    for model in dict.fromkeys([state, *page.roles.models()]):
        level = unedited(rows, model, role)
        if len(level):
            ax.axhline(level.mean(), color=style.model_colour(model, page.roles), lw=0.9, ls="--", alpha=0.6, zorder=0)
    ax.set_ylim(-0.03, 1.05)
    ax.set_xlim(left=0)
    ax.grid(True)


def _from_zero(rows: pd.DataFrame, levels: pd.Series) -> tuple[list[float], list[float]]:
    """Doses and mean accuracy over the rows, starting from the unedited level of their seeds at dose 0."""
    means = rows.groupby("dose")["value"].mean()
    start = levels.reindex(rows["seed"].unique()).mean() if len(rows) else np.nan
    return [0.0, *means.index], [start, *means]

"""A procedure's set beside its rivals, each at its own dose: what the first lines of fig6 and fig7 are made of."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from rlgen.figures import effects, style, wording
from rlgen.figures.effects import direction, unedited
from rlgen.figures.page import OWN_DOSE, SHIFT, SHIFT_IN_DOMAIN, Settings

TABLES = {  # table -> its columns, of the pages that show a set beside its rivals
    "effects": effects.COLUMNS,
    "comparisons": [
        "procedure", "state", "edit", "rival", "form", "role", "task", "half", "metric", "n", "seed", "difference",
        "lo", "hi", "set_change", "rival_change",
    ],
    "controls": ["procedure", "state", "edit", "seed", "set_size", "refused", "refused_readout"],
}  # fmt: skip
NAMES = {  # rivals that could have been used in the set's place; the others are bounds or parts of it
    "random": "random sets",
    "size": "set chosen by size",
    "noncritical": "set of both-right samples",
    "nrn": "set chosen by NRN",
    "rotated": "the set, rotated",
    "direction": "random directions",
    SHIFT: "mean shift, selection",
    SHIFT_IN_DOMAIN: "mean shift, in-domain",
}
IN_A_SENTENCE = {  # after `more than` and the like
    "random": "random sets do",
    "size": "as many features chosen by size do",
    "noncritical": "as many features of samples that both get right do",
    "nrn": "as many features chosen by NRN do",
    "rotated": "the set, rotated, does",
    "direction": "random directions do",
    SHIFT: "one vector does, the mean shift on selection tasks",
    SHIFT_IN_DOMAIN: "one vector does, the mean shift in-domain",
}
ALWAYS = ("size", SHIFT_IN_DOMAIN, "random")  # drawn beside the strongest one


class Outcome(NamedTuple):
    """How a set did against its rivals. Seeds count by paired 95 % intervals of set minus rival."""

    seeds: int
    ahead: int  # seeds in which the set beats every rival
    behind: int  # seeds in which some rival beats the set
    strongest: str  # the rival with the largest mean effect


def fair(page: Settings, comparisons: pd.DataFrame, procedure: str, state: str, role: str) -> pd.DataFrame:
    """Role means on the test half of the procedure's first edit in a state, against each fair rival at its own dose."""
    edits = page.procedures[procedure].edits.get(state, [])
    wanted = {"procedure": procedure, "state": state, "role": role, "task": "ALL", "half": "test"}
    wanted |= {"metric": "accuracy", "form": OWN_DOSE, "edit": edits[0] if edits else ""}
    for column, value in wanted.items():
        comparisons = comparisons[comparisons[column] == value]
    return comparisons[comparisons["rival"].isin(NAMES)]


def edited(page: Settings, states: list[str]) -> list[str]:
    """Procedures that edit one of the states, the leading one first."""
    return [name for name in page.leading_first() if any(page.procedures[name].edits.get(s) for s in states)]


def first(page: Settings, states: list[str]) -> list[str]:
    """The leading procedure alone; where there is none, or it edits none of the states, all that do."""
    names = edited(page, states)
    return [page.leading] if page.leading in names else names


def against(page: Settings, rows: pd.DataFrame, rival: str, state: str) -> str:
    """`more than`, `less than` or `no more than` one rival, by paired intervals in every seed."""
    counts = told(page, rows[rows["rival"] == rival], state)
    return "more than" if counts["ahead"].all() else "less than" if counts["behind"].all() else "no more than"


def told(page: Settings, rows: pd.DataFrame, state: str) -> pd.DataFrame:
    """Seed, ahead, behind of every row: by its paired interval the set surely beats the rival, or the reverse."""
    above, below = rows["lo"] > 0, rows["hi"] < 0
    ahead, behind = (above, below) if direction(page, state) > 0 else (below, above)
    return pd.DataFrame({"seed": rows["seed"], "ahead": ahead, "behind": behind})


def outcome(page: Settings, rows: pd.DataFrame, state: str) -> Outcome | None:
    """The outcome of `fair` rows; None where nothing was edited."""
    if rows.empty:
        return None
    by_seed = told(page, rows, state).groupby("seed")
    strength = (direction(page, state) * rows["rival_change"]).groupby(rows["rival"]).mean()
    ahead, behind = by_seed["ahead"].all().sum(), by_seed["behind"].any().sum()
    return Outcome(by_seed.ngroups, int(ahead), int(behind), str(strength.idxmax()))


def compared(found: Outcome) -> str:
    """The outcome in words, after what the set did."""
    n, every = found.seeds, wording.in_each(found.seeds)
    if found.ahead == n:
        return f"ahead of every rival{every}"
    if found.behind == n:
        return f"behind some rival{every}"
    if not found.ahead + found.behind:
        return f"level with the strongest rival{every}"
    return f"ahead of every rival in {found.ahead} of {n} seeds, behind some rival in {found.behind}"


def gaps(page: Settings, rows: pd.DataFrame, role: str) -> pd.Series:
    """Accuracy of the unedited target minus that of the unedited reference, by seed. `rows`: reported effects."""
    gap = unedited(rows, page.roles.target, role) - unedited(rows, page.roles.reference, role)
    return gap.dropna()


def changes(rows: pd.DataFrame, rival: str | None = None, scale: pd.Series | float = 1.0) -> pd.Series:
    """What the set changes, or a rival in its place, by seed, in units of `scale`."""
    cells = rows.drop_duplicates("seed") if rival is None else rows[rows["rival"] == rival]
    return cells.set_index("seed")["set_change" if rival is None else "rival_change"] / scale


def shown(page: Settings, rows: pd.DataFrame, found: Outcome, state: str) -> list[str]:
    """Rivals that are drawn: the strongest first, then those always shown, then others that beat the set somewhere."""
    beating = rows.loc[told(page, rows, state)["behind"], "rival"]
    return [r for r in dict.fromkeys([found.strongest, *ALWAYS, *beating]) if (rows["rival"] == r).any()]


def block(
    ax: Axes, page: Settings, rows: pd.DataFrame, found: Outcome, state: str, scale: pd.Series, y: float
) -> float:
    """Draw the set and its rivals as rows from y on; returns where the next block may begin.

    rows: `fair` rows; scale: what a change is divided by, per seed, its sign included.
    """
    seeds = sorted(scale.index)
    lines = [None, *shown(page, rows, found, state)]
    for i, rival in enumerate(lines):
        own, values = rival is None, changes(rows, rival, scale)
        name, said = "the set", wording.share(values.mean())
        if not own:
            name = NAMES[rival]
            counts = told(page, rows[rows["rival"] == rival], state)
            said += f"   {counts['ahead'].sum()} : {counts['behind'].sum()}"
        look = {"color": style.SET_COLOUR if own else style.RIVAL_COLOUR, "fontweight": "bold" if own else "normal"}
        marks(ax, y + i, values.dropna(), seeds, look["color"], filled=own)
        style.beside(ax, -0.02, y + i, name, **look)
        style.beside(ax, 1.02, y + i, said, **look)
    return y + len(lines)


def marks(ax: Axes, y: float, values: pd.Series, seeds: list[int], colour: str, filled: bool) -> None:
    """One row: every seed's value, and their mean as an upright line."""
    for seed, value in values.items():
        at = y + style.lane(seed, seeds, 0.4)
        ax.plot(value, at, style.seed_marker(seed, seeds), color=colour, mfc=colour if filled else "white", ms=6)
    if len(values):
        ax.plot([values.mean()] * 2, [y - 0.36, y + 0.36], color=colour, lw=3 if filled else 1.6)


def refusals(controls: pd.DataFrame, procedure: str, state: str) -> dict[int, str]:
    """Seed -> why random sets or a readout were refused; seeds without a refusal are left out."""
    rows = controls[(controls["procedure"] == procedure) & (controls["state"] == state)]
    said = {}
    for r in rows.itertuples():
        words = [text for text in (r.refused_readout, r.refused) if isinstance(text, str) and text]
        if words:
            said[int(r.seed)] = words[0]
    return said


def sizes(controls: pd.DataFrame, procedure: str) -> str:
    """`16`, `26 to 60`: features of the set over seeds that have one."""
    found = controls.loc[(controls["procedure"] == procedure) & (controls["set_size"] > 0), "set_size"].dropna()
    low, high = (int(found.min()), int(found.max())) if len(found) else (0, 0)
    return f"{low}" if low == high else f"{low} to {high}"

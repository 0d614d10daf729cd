"""A procedure's set beside its rivals, each at its own dose: what the first lines of fig6 and fig7 are made of."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rlgen.figures import style
from rlgen.figures.effects import direction, unedited
from rlgen.figures.page import Settings

COLUMNS = [
    "procedure", "state", "edit", "rival", "form", "role", "task", "half", "metric", "n", "seed", "difference", "lo",
    "hi", "set_change", "rival_change",
]  # fmt: skip
CONTROL_COLUMNS = ["procedure", "state", "edit", "seed", "set_size", "refused", "refused_readout"]
IN_DOMAIN = "shift-in_domain"
NAMES = {  # rivals that could have been used in the set's place; the others are bounds or parts of it
    "random": "random sets",
    "size": "set chosen by size",
    "noncritical": "set of both-right samples",
    "nrn": "set chosen by NRN",
    "rotated": "the set, rotated",
    "direction": "random directions",
    "shift-selection": "mean shift, selection",
    IN_DOMAIN: "mean shift, in-domain",
}
ALWAYS = ("size", IN_DOMAIN, "random")  # drawn beside the strongest one


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
    wanted |= {"metric": "accuracy", "form": "own_dose", "edit": edits[0] if edits else ""}
    for column, value in wanted.items():
        comparisons = comparisons[comparisons[column] == value]
    return comparisons[comparisons["rival"].isin(NAMES)]


def outcome(page: Settings, rows: pd.DataFrame, state: str) -> Outcome | None:
    """The outcome of `fair` rows; None where nothing was edited."""
    if rows.empty:
        return None
    sign = direction(page, state)
    surely = np.where(sign > 0, rows["lo"] > 0, rows["hi"] < 0)
    lost = np.where(sign > 0, rows["hi"] < 0, rows["lo"] > 0)
    by_seed = pd.DataFrame({"seed": rows["seed"], "ahead": surely, "behind": lost}).groupby("seed")
    strength = (sign * rows["rival_change"]).groupby(rows["rival"]).mean()
    ahead, behind = by_seed["ahead"].all().sum(), by_seed["behind"].any().sum()
    return Outcome(by_seed.ngroups, int(ahead), int(behind), str(strength.idxmax()))


def compared(found: Outcome) -> str:
    """The outcome in words, after what the set did."""
    n = found.seeds
    every = "" if n == 1 else f" in each of {n} seeds"
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


def shown(rows: pd.DataFrame, found: Outcome) -> list[str]:
    """Rivals that are drawn: the strongest first."""
    return [r for r in dict.fromkeys([found.strongest, *ALWAYS]) if (rows["rival"] == r).any()]


def block(
    ax: Axes, page: Settings, rows: pd.DataFrame, found: Outcome, state: str, scale: pd.Series, y: float
) -> float:
    """Draw the set and its rivals as rows from y on; returns where the next block may begin.

    rows: `fair` rows; scale: what a change is divided by, per seed, its sign included.
    """
    seeds = sorted(scale.index)
    own = rows.drop_duplicates("seed").set_index("seed")["set_change"]
    lines = [("the set", own / scale, None)]
    for rival in shown(rows, found):
        cells = rows[rows["rival"] == rival].set_index("seed")
        name = NAMES[rival] + (" (strongest)" if rival == found.strongest else "")
        lines.append((name, cells["rival_change"] / scale, cells))
    for i, (name, values, cells) in enumerate(lines):
        colour = style.SET_COLOUR if i == 0 else style.RIVAL_COLOUR
        marks(ax, y + i, values.dropna(), seeds, colour, filled=i == 0)
        weight = "bold" if i == 0 else "normal"
        ax.text(-0.02, y + i, name, transform=ax.get_yaxis_transform(), ha="right", va="center", color=colour,
                fontweight=weight)  # fmt: skip
        said = style.share(values.mean()) + ("" if cells is None else f"   {_ahead(page, cells, state)}")
        ax.text(1.02, y + i, said, transform=ax.get_yaxis_transform(), va="center", color=colour, fontweight=weight)
    return y + len(lines)


def _ahead(page: Settings, cells: pd.DataFrame, state: str) -> str:
    """In how many seeds the set is ahead of this rival, and behind it."""
    low, high = (cells["lo"] > 0).sum(), (cells["hi"] < 0).sum()
    ahead, behind = (low, high) if direction(page, state) > 0 else (high, low)
    return f"{ahead} : {behind}"


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

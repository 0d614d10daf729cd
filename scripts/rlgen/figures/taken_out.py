"""The third page of figure 10: the target's set, taken out of other arms."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import style, wording
from rlgen.figures.fig10_arms import ROLES, Settings
from rlgen.figures.page import seeds_of

TAKEN = {  # sets that are taken out of arms: kind of set -> name, colour
    "selected": ("the set", style.SET_COLOUR),
    "size": ("set chosen by size", style.ORANGE),
    "shift-in_domain": ("mean shift, in-domain", style.GREEN),
    "random": ("random sets, mean", style.GREY),
}
EFFECTS = ["procedure", "state", "edit", "set_kind", "form", "chosen", "role", "task", "half", "subset", "metric"]
EFFECTS += ["change", "seed"]


def draw(page: Settings, effects: pd.DataFrame) -> Figure | None:
    """The target's set taken out of other arms, beside its rivals; None where no arm is edited so."""
    rows = taken_rows(page, effects)
    if rows.empty:
        return None
    figure, body = style.new_page(11.7, 5.4)
    axes = body.subplots(1, 2, sharey=True)
    states = [page.roles.target, *(arm for arm in page.group_of if arm in page.taken)]
    for ax, role in zip(axes, ROLES, strict=True):
        _taken(ax, rows[rows["role"] == role], states)
        ax.set_xlabel(f"change of accuracy, {ROLES[role]}")
    axes[0].set_yticks(range(len(states)), states)
    axes[0].set_ylim(len(states) - 0.4, -0.6)
    body.legend(
        handles=[style.dot(colour, name) for name, colour in TAKEN.values()], loc="outside lower center", ncols=4
    )
    told = f"Each at its own dose, the one that comes closest to {page.roles.reference} on discovery prompts."
    style.head_and_foot(figure, answer(page, rows), told, page, f"{wording.count(seeds_of(rows))}; test half.")
    return figure


def taken_rows(page: Settings, effects: pd.DataFrame) -> pd.DataFrame:
    """Change of accuracy under the exchange of every kind of set, mean over its sets, in the target and these arms."""
    wanted = {"procedure": page.watch, "edit": "exchange", "form": "own_dose", "chosen": True, "task": "ALL"}
    wanted |= {"half": "test", "subset": "half", "metric": "accuracy"}
    rows = effects[effects["state"].isin([page.roles.target, *page.taken]) & effects["set_kind"].isin(TAKEN)]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    keys = ["state", "set_kind", "role", "seed"]
    return rows.groupby(keys, as_index=False)["change"].mean() if page.taken else rows.iloc[:0]


def answer(page: Settings, rows: pd.DataFrame) -> str:
    """The page's title: what the set costs other arms, beside what it costs the target and what random sets do."""
    means = rows[rows["role"] == "selection"].groupby(["state", "set_kind"])["change"].mean().unstack()
    others = means.drop(index=page.roles.target, errors="ignore")
    lost = f"{wording.change(others['selected'].max())} to {wording.change(others['selected'].min())}"
    if page.roles.target in means.index:
        lost += f" ({page.roles.target} {wording.change(means.loc[page.roles.target, 'selected'])})"
    rivals = [
        f"{name} {wording.change(others[kind].mean())}"
        for kind, (name, _) in TAKEN.items()
        if kind in others and kind != "selected"
    ]
    lost = f"{page.roles.target}'s set taken out of other arms changes their selection tasks by {lost}"
    return f"{lost}; {', '.join(rivals)}" if rivals else lost


def _taken(ax: Axes, rows: pd.DataFrame, states: list[str]) -> None:
    """A row per arm, a mark per seed and kind of set."""
    seeds = seeds_of(rows)
    for row in rows.itertuples():
        at = states.index(row.state) + style.lane(row.seed, seeds, 0.45)
        ax.plot(row.change, at, style.seed_marker(row.seed, seeds), color=TAKEN[row.set_kind][1], ms=5)
    ax.axvline(0, color="black", lw=0.6)
    ax.grid(True, axis="x")
    ax.tick_params(axis="y", length=0)

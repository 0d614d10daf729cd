"""Published effects on critical samples beside ours: a strip below the effects of a study that repeats a paper's."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rlgen.figures import style
from rlgen.figures.page import Settings, seeds_of

SPREAD = 0.75  # of a task's column: the published value first, then every edit
LANES = 0.6  # of an edit's place, over which its seeds spread


def strip(part, page: Settings, table: pd.DataFrame, tasks: list[str]) -> None:
    """Two panels, points on critical samples: disabling in the target, amplifying in the reference.

    Critical samples are chosen for what the reference fails and the target solves, so an effect on them is one-sided by
    construction: the whole test half above says what it is worth.
    """
    ours = table[
        (table["subset"] == "critical") & (table["half"] == "test") & (table["metric"] == "accuracy")
        & (table["set_kind"] == "selected") & table["chosen"].astype(bool)
    ]  # fmt: skip
    sides = (("disable", page.roles.target, "Disabled in"), ("amplify", page.roles.reference, "Amplified in"))
    for ax, (field, state, title) in zip(part.subplots(1, 2), sides, strict=True):
        edits = [(name, edit) for name, p in page.procedures.items() for edit in p.edits.get(state, [])]
        _panel(ax, page, ours[ours["state"] == state], tasks, getattr(page.published, field), edits)
        hollow = dict.fromkeys(edit for name, edit in edits if edit != page.procedures[name].edits[state][0])
        note = f" (hollow: {', '.join(hollow)})" if hollow else ""
        ax.set_title(f"{title} {state}: critical samples only{note}", loc="left")
    part.axes[0].set_ylabel("change, points")


def _panel(
    ax: Axes,
    page: Settings,
    ours: pd.DataFrame,
    tasks: list[str],
    published: dict[str, float],
    edits: list[tuple[str, str]],
) -> None:
    if not tasks:
        style.say(ax, "no such tasks")
        return
    seeds, width = seeds_of(ours), SPREAD / (len(edits) + 1)
    for x, task in enumerate(tasks):
        places = [x + width * (i - len(edits) / 2) for i in range(len(edits) + 1)]
        for at, (name, edit) in zip(places[1:], edits, strict=True):
            cells = ours[(ours["task"] == task) & (ours["procedure"] == name) & (ours["edit"] == edit)]
            colour, first = style.procedure_colour(page, name), (name, edit) == next(e for e in edits if e[0] == name)
            for r in cells.itertuples():
                aside = at + style.lane(r.seed, seeds, LANES * width)
                ax.plot([aside, aside], [100 * r.change_lo, 100 * r.change_hi], color=colour, lw=1)
                marker = style.seed_marker(r.seed, seeds)
                ax.plot(aside, 100 * r.change, marker, color=colour, mfc=colour if first else "white", ms=5)
        if task in published:
            ax.plot(places[0], published[task], ms=11, **style.STAR)
        else:
            say = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 8, "color": style.GREY}
            ax.text(places[0], 0.03, "not published", transform=ax.get_xaxis_transform(), **say)
    ax.axhline(0, color=style.GREY, lw=0.8)
    ax.set_xticks(range(len(tasks)), tasks, rotation=15 if sum(map(len, tasks)) > 40 else 0)
    ax.set_xlim(-0.6, len(tasks) - 0.4)
    ax.tick_params(axis="x", length=0)
    ax.grid(True, axis="y")


def handle(page: Settings) -> Line2D:
    """Legend of the published marks."""
    return Line2D([], [], ms=9, label=f"reported in {page.published.source}", **style.STAR)

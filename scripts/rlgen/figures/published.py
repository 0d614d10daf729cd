"""Published effects on critical samples beside ours: a strip below the effects of a study that repeats a paper's."""

import pandas as pd
from matplotlib.axes import Axes

from rlgen.figures import style
from rlgen.figures.effects import Settings, procedure_colour

SPREAD = 0.6  # of a task's column, over which its edits spread


def strip(part, page: Settings, table: pd.DataFrame, tasks: list[str]) -> None:
    """Two panels, points on critical samples: disabling in the target, amplifying in the reference.

    Critical samples are chosen for what the reference fails and the target solves, so an effect on them is one-sided by
    construction: the whole test half above says what it is worth.
    """
    sides = (("disable", page.roles.target, "Disabled in"), ("amplify", page.roles.reference, "Amplified in"))
    for ax, (field, state, title) in zip(part.subplots(1, 2), sides, strict=True):
        _panel(ax, page, table, tasks, getattr(page.published, field), state)
        ax.set_title(f"{title} {state}: critical samples only", loc="left")
    part.axes[0].set_ylabel("change, points")


def _panel(
    ax: Axes, page: Settings, table: pd.DataFrame, tasks: list[str], published: dict[str, float], state: str
) -> None:
    edits = [(name, edit) for name, p in page.procedures.items() for edit in p.edits.get(state, [])]
    ours = table[
        (table["subset"] == "critical") & (table["half"] == "test") & (table["metric"] == "accuracy")
        & (table["state"] == state) & (table["set_kind"] == "selected") & table["chosen"].astype(bool)
    ]  # fmt: skip
    for x, task in enumerate(tasks):
        for i, (name, edit) in enumerate(edits):
            at = x + SPREAD * ((i + 0.5) / len(edits) - 0.5)
            cells = ours[(ours["task"] == task) & (ours["procedure"] == name) & (ours["edit"] == edit)]
            for r in cells.itertuples():
                colour = procedure_colour(page, name)
                ax.plot([at, at], [100 * r.change_lo, 100 * r.change_hi], color=colour, lw=1)
                ax.plot(at, 100 * r.change, "o", color=colour, ms=5)
        if task in published:
            ax.plot(x, published[task], "*", ms=11, color=style.ORANGE, mec="black", mew=0.6)
        else:
            ax.text(x, 0, "not\npublished", ha="center", va="center", fontsize=7.5, color=style.GREY)
    ax.axhline(0, color=style.GREY, lw=0.8)
    ax.set_xticks(range(len(tasks)), tasks, rotation=15 if len(tasks) > 3 else 0)
    ax.set_xlim(-0.6, len(tasks) - 0.4)
    ax.grid(axis="y", color=style.PALE, lw=0.6)


def handle(page: Settings):
    """Legend of the published marks."""
    return style.dot(style.ORANGE, f"published, {page.published.source}", marker="*")

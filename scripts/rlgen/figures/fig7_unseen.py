"""Figure 7: do the edits reach tasks that chose nothing, and what do they cost on the trained task?"""

import pandas as pd
from matplotlib.figure import Figure

from rlgen.figures import effects, published, style
from rlgen.figures.effects import COLUMNS
from rlgen.figures.page import Settings, seeds_of

__all__ = ["COLUMNS", "Settings", "draw"]
STRIP = 2.4  # height of the strip of published effects, inches


def draw(page: Settings, table: pd.DataFrame) -> Figure:
    """One row of panels per edited state: unseen tasks, in-domain tasks, dose curve on the unseen tasks."""
    rows = effects.reported(table)
    seeds = seeds_of(rows)
    counts = [max(3, len(effects.lines_of(page, rows, state))) for state in page.states]
    height = 2.3 + 0.34 * sum(counts) + 0.55 * len(counts)
    figure, whole = style.new_page(11.7, height + STRIP * (page.published is not None))
    body = whole
    if page.published:
        body, strip = whole.subfigures(2, 1, height_ratios=[height, STRIP])
        published.strip(strip, page, table, page.tasks)
    grid = body.subplots(len(page.states), 3, squeeze=False, width_ratios=[1, 1, 0.9], height_ratios=counts)
    for axes, state in zip(grid, page.states, strict=True):
        effects.forest(axes[0], page, rows, state, "unseen", seeds)
        axes[0].set_title(f"Unseen tasks, {state} edited", loc="left", fontweight="bold")
        effects.forest(axes[1], page, rows, state, "in_domain", seeds)
        axes[1].set_yticklabels([])
        axes[1].set_title(f"In-domain, {state} edited", loc="left", fontweight="bold")
        effects.dose_curve(axes[2], page, rows, state, "unseen", seeds)
        axes[2].set_title(f"Unseen tasks, {state} by dose", loc="left")
    grid[-1, 0].set_xlabel("accuracy, unseen tasks")
    grid[-1, 1].set_xlabel("accuracy, in-domain (collateral)")
    grid[-1, 2].set_xlabel("dose")
    entries = effects.handles(page, seeds)
    if page.published:
        entries.append(published.handle(page))
    body.legend(handles=entries, loc="outside lower center", ncols=(len(entries) + 2) // 3)
    style.head_and_foot(
        figure,
        "Do the edits reach tasks that chose nothing, and what do they cost in-domain?",
        "Unseen tasks. " + effects.finding(page, rows, "unseen"),
        page,
        effects.note(rows, "unseen", seeds),
    )
    return figure

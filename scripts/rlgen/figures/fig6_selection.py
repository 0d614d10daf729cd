"""Figure 6: do the selected features carry generalization? Edits on the selection tasks, controls and rivals."""

import pandas as pd
from matplotlib.figure import Figure

from rlgen.figures import effects, published, style
from rlgen.figures.effects import COLUMNS
from rlgen.figures.page import Settings, seeds_of

__all__ = ["COLUMNS", "Settings", "draw"]
STRIP = 2.4  # height of the strip of published effects, inches
ROLE = "selection"


def draw(page: Settings, table: pd.DataFrame) -> Figure:
    """One row of panels per edited state: every edit at its chosen dose, and the dose curves."""
    rows = effects.reported(table)
    seeds = seeds_of(rows)
    counts = [max(3, len(effects.lines_of(page, rows, state))) for state in page.states]
    height = 2.3 + 0.34 * sum(counts) + 0.55 * len(counts)
    figure, whole = style.new_page(11.7, height + STRIP * (page.published is not None))
    body = whole
    if page.published:
        body, strip = whole.subfigures(2, 1, height_ratios=[height, STRIP])
        published.strip(strip, page, table, page.tasks)
    grid = body.subplots(len(page.states), 2, squeeze=False, width_ratios=[1.75, 1], height_ratios=counts)
    for axes, state in zip(grid, page.states, strict=True):
        effects.forest(axes[0], page, rows, state, ROLE, seeds)
        axes[0].set_title(effects.question(page, state), loc="left", fontweight="bold")
        effects.dose_curve(axes[1], page, rows, state, ROLE, seeds)
        axes[1].set_title(f"{state} by dose", loc="left")
    grid[-1, 0].set_xlabel("accuracy, mean of the selection tasks")
    grid[-1, 1].set_xlabel("dose (multiple of own contribution)")
    entries = effects.handles(page, seeds)
    if page.published:
        entries.append(published.handle(page))
    body.legend(handles=entries, loc="outside lower center", ncols=(len(entries) + 2) // 3)
    style.head_and_foot(
        figure,
        "Do the selected features carry generalization? Edits inside generation, selection tasks",
        effects.finding(page, rows, ROLE),
        page,
        effects.note(rows, ROLE, seeds),
    )
    return figure

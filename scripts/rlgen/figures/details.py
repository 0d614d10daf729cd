"""The page behind fig6 and fig7: every edit, control and dose, a row of panels per edited model."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rlgen.figures import effects, published, style, wording
from rlgen.figures.page import SHIFT, SHIFT_IN_DOMAIN, Settings, prompts, seeds_of

STRIP = 2.4  # height of the strip of published effects, inches


class Panel(NamedTuple):
    """A column of the page."""

    draw: Callable[..., None]  # effects.forest or effects.dose_curve
    role: str
    width: float
    title: str  # {state}: the edited model, {question}: what its edit asks
    label: str  # of the values, below the last row


def draw(page: Settings, table: pd.DataFrame, panels: list[Panel], title: str, of: str = "") -> Figure:
    """Every edited state in every panel; numbers below the title are those of the first panel's role, `of` names it."""
    rows, role = effects.reported(table), panels[0].role
    seeds = seeds_of(rows)
    counts = [max(3, len(effects.lines_of(page, rows, state))) for state in page.states]
    height = 2.3 + 0.34 * sum(counts) + 0.55 * len(counts)
    figure, body = style.new_page(11.7, height + STRIP * (page.published is not None))
    entries = _handles(page, seeds)
    if page.published:
        body, strip = body.subfigures(2, 1, height_ratios=[height, STRIP])
        published.strip(strip, page, table, page.tasks)
        entries.append(published.handle(page))
    widths = [panel.width for panel in panels]
    grid = body.subplots(len(page.states), len(panels), squeeze=False, width_ratios=widths, height_ratios=counts)
    for axes, state in zip(grid, page.states, strict=True):
        for ax, panel in zip(axes, panels, strict=True):
            panel.draw(ax, page, rows, state, panel.role, seeds)
            forest = panel.draw is effects.forest
            if forest and ax is not axes[0]:
                ax.set_yticklabels([])
            words = panel.title.format(state=state, question=effects.question(page, state))
            ax.set_title(words, loc="left", fontweight="bold" if forest else "normal")
    for ax, panel in zip(grid[-1], panels, strict=True):
        ax.set_xlabel(panel.label)
    body.legend(handles=entries, loc="outside lower center", ncols=(len(entries) + 2) // 3)
    style.head_and_foot(figure, title, of + _finding(page, rows, role), page, _note(rows, role, seeds))
    return figure


def _handles(page: Settings, seeds: list[int]) -> list[Line2D]:
    """Legend of a page of forests and dose curves."""
    tick = Line2D([], [], ls="", marker="|", color="black", ms=8, label="unedited, per seed")
    entries = [*style.seed_handles(seeds), tick]
    entries += [style.dot(style.GREY, "random sets", marker="."), style.dot(style.GREY, "top by NRN", hollow=True)]
    entries += [Line2D([], [], color=style.PALE, lw=5, label="as long, turned (range)")]
    shifts = {SHIFT: "mean shift as long", SHIFT_IN_DOMAIN: "in-domain shift as long"}
    entries += [style.dot(style.SHIFT_COLOUR, text, effects.SHIFT_MARKERS[shift]) for shift, text in shifts.items()]
    entries += [style.stroke(style.model_colour(m, page.roles), f"{m}, unedited", "--") for m in page.roles.models()]
    return entries + [style.stroke(style.procedure_colour(page, p), p) for p in page.procedures]


def _finding(page: Settings, rows: pd.DataFrame, role: str) -> str:
    """Mean changes at the chosen dose in the reference, in words."""
    state = page.roles.reference
    cells = rows[(rows["state"] == state) & (rows["role"] == role) & rows["chosen"].astype(bool)]
    parts = []
    for line in effects.lines_of(page, rows, state):
        own = cells[(cells["procedure"] == line.procedure) & (cells["edit"] == line.edit)]
        change = own.groupby("part")["change"].mean()
        if line.edit == effects.RANDOM_DIRECTION:
            parts.append(f"{line.label} {wording.change(change.get('random', np.nan))}")
            continue
        text = wording.change(change["main"]) if "main" in change else "no set"
        extra = f" (random sets {wording.change(change['random'])})" if "random" in change else ""
        parts.append(f"{line.label} {text}{extra}")
    return (
        f"Change of accuracy in {state}, mean over seeds:  " + ";  ".join(parts)
        if parts
        else f"Nothing was edited in {state}."
    )


NOTE = (
    "Doses chosen on the discovery half, all marks from the test half ({n} prompts per seed), {seeds}. Bars: paired "
    "95 % bootstrap intervals of the change over prompts within a seed, from the seed's unedited level (tick). Right: "
    "mean change of the set | of matched random sets | of the mean shift, as long | wins: seeds in which the set "
    "exceeds every random set. Last rows: rivals at their own dose."
)


def _note(rows: pd.DataFrame, role: str, seeds: list[int]) -> str:
    """The foot of a page on effects."""
    return NOTE.format(n=prompts(rows, role), seeds=wording.count(seeds))

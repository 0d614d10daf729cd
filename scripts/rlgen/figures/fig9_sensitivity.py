"""Figure 9: does the finding depend on how one looks? Variants of the main procedure, one factor at a time."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import style, wording
from rlgen.figures.page import AS_LONG, OWN_DOSE, SHIFT_IN_DOMAIN, seeds_of
from rlgen.figures.rivals import NAMES
from rlgen.figures.variants import COLUMNS, Settings, answer, changed_verdicts, finding, in_order, own_rows, readable

__all__ = ["COLUMNS", "Settings", "appendix", "draw"]

ROW, HEADING = 0.25, 0.8  # inches of a row, and the share of one that the name of a factor takes
LANES = 0.5


class Panel(NamedTuple):
    """One column of the forest."""

    title: str
    label: str
    quantity: str
    state: str = ""
    role: str = ""
    rival: str = ""  # whose row it is, where that is not the set itself
    form: str = OWN_DOSE


def draw(page: Settings, table: pd.DataFrame) -> Figure:
    """One row per variant: what it finds, where that points, what it does, beside chance, rivals and the main one."""
    table, seeds = readable(table), seeds_of(table)
    return _forest(page, table, panels_of(page), answer(page, table), finding(page, table), note(page, seeds))


def appendix(page: Settings, table: pd.DataFrame) -> Figure:
    """The same rows: latents found again, samples ranked alike, paired differences from the main set and a rival."""
    table, seeds = readable(table), seeds_of(table)
    what = "Variants against the main procedure: latents, samples, and paired differences"
    rivals = f"Minus the set chosen by size: both add as much. {note(page, seeds)}"
    return _forest(page, table, details_of(page), what, finding(page, table), rivals)


def _forest(page: Settings, table: pd.DataFrame, panels: list[Panel], title: str, below: str, foot: str) -> Figure:
    """A page of panels that share their rows."""
    seeds, (places, headings) = seeds_of(table), rows_of(page)
    bottom = max(places.values()) + 0.6
    figure, body = style.new_page(11.7, ROW * bottom + 2.3)
    widths = [1.1 if panel.role else 0.8 for panel in panels]
    axes = body.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)[0]
    for ax, panel in zip(axes, panels, strict=True):
        _panel(ax, page, panel, of_panel(table, panel), places, seeds)
        ax.set_ylim(bottom, -0.6)
    _labels(axes[0], page, places, headings)
    _words(axes[-1], page, table, places)
    handles = [*style.seed_handles(seeds), style.dot(style.GREY, NAMES["random"], marker=".")]
    handles += [style.dot(style.GREY, NAMES["size"], hollow=True)]
    handles += [style.dot(style.SHIFT_COLOUR, NAMES[SHIFT_IN_DOMAIN], marker="d")]
    handles += [style.stroke(style.PALE, "main recipe (band)"), style.stroke(style.GREY, "chance, 95 %")]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    style.head_and_foot(figure, title, below, page, foot)
    return figure


def panels_of(page: Settings) -> list[Panel]:
    """What is shown of every variant."""
    reference, target = page.roles.reference, page.target
    return [
        Panel("The same set?", "overlap with the\nmain set (Jaccard)", "overlap"),
        Panel("The same direction?", "cosine with the main\nexchange", "direction"),
        Panel(f"Amplified in {reference}", "change of accuracy,\nselection tasks", "effect", reference, "selection"),
        Panel(f"Amplified in {reference}", "change of accuracy,\nunseen tasks", "effect", reference, "unseen"),
        Panel(f"Disabled in {target}", "change of accuracy,\nselection tasks", "effect", target, "selection"),
    ]


def details_of(page: Settings) -> list[Panel]:
    """What the second page shows of every variant."""
    reference, target, against = page.roles.reference, page.target, "accuracy minus main,\nselection tasks"
    return [
        Panel("The same latents?", "matched share of\nalive latents", "matched_share"),
        Panel("The same samples?", "rank correlation of\ncarried shares", "carried_rank"),
        Panel(f"Against main, {reference}", against, "against_main", reference, "selection"),
        Panel(f"Against main, {target}", against, "against_main", target, "selection"),
        Panel(
            f"Against size, {reference}", "minus the set chosen by size,\nselection tasks", "difference", reference,
            "selection", "size", AS_LONG,
        ),
    ]  # fmt: skip


def of_panel(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Rows of one panel; with effects those of the rivals at their own dose."""
    rows = table[
        (table["quantity"] == panel.quantity) & (table["state"] == panel.state) & (table["role"] == panel.role)
    ]
    rows = rows[rows["metric"].isin(["", "accuracy"])]
    if panel.quantity == "effect":
        return rows[rows["form"] == panel.form]
    if panel.rival:
        return rows[(rows["rival"] == panel.rival) & (rows["form"] == panel.form)].assign(rival="")
    return rows


def rows_of(page: Settings) -> tuple[dict[str, float], dict[str, float]]:
    """Height of every variant, the main procedure on top, and of every factor's name."""
    places, headings, y = {page.main: 0.0}, {}, 1.0
    for factor, variants in page.factors.items():
        headings[factor] = y
        y += HEADING
        for name in in_order(variants):
            places[name] = y
            y += 1
    return places, headings


def _panel(
    ax: Axes, page: Settings, panel: Panel, rows: pd.DataFrame, places: dict[str, float], seeds: list[int]
) -> None:
    """Seeds as marks with intervals; chance and rivals in grey; the main recipe as a band."""
    band = own_rows(rows)
    banded = [page.main] if panel.quantity in ("effect", "difference") else page.replicates
    band = band[band["variant"].isin(banded)]["value"].dropna()
    if len(band):
        ax.axvspan(band.min(), max(band.max(), band.min() + 1e-3), color=style.PALE, alpha=0.6, lw=0, zorder=0)
    for r in rows.itertuples():
        if r.variant not in places:
            continue
        at = places[r.variant] + style.lane(int(r.seed), seeds, LANES)
        if r.rival:
            _rival(ax, r.rival, r.value, at)
            continue
        if np.isfinite(r.chance_lo) and r.variant != page.main:
            ax.plot([r.chance_lo, r.chance_hi], [at, at], color=style.GREY, lw=2.6, alpha=0.45, solid_capstyle="butt")
        colour = _colour(page, r.variant)
        if np.isfinite(r.lo):
            ax.plot([r.lo, r.hi], [at, at], color=colour, lw=0.9)
        ax.plot(r.value, at, style.seed_marker(int(r.seed), seeds), color=colour, ms=4.2)
    found = set(own_rows(rows).dropna(subset="value")["variant"])
    for name in [name for name in places if name not in found]:
        style.beside(ax, 0.03, places[name], "nothing", fontsize=8, style="italic", color="#555555")
    ax.axvline(0, color="black", lw=0.6)
    ax.set_title(panel.title, loc="left", fontweight="bold")
    ax.set_xlabel(panel.label)
    ax.grid(True, axis="x")
    ax.tick_params(axis="y", length=0)


def _rival(ax: Axes, rival: str, value: float, at: float) -> None:
    if rival == "random":
        ax.plot(value, at, ".", color=style.GREY, ms=4)
    elif rival == "size":
        ax.plot(value, at, "o", color=style.GREY, mfc="white", ms=3.6, mew=0.8)
    else:
        ax.plot(value, at, "d", color=style.SHIFT_COLOUR, mec="#555555", mew=0.6, ms=4)


def _colour(page: Settings, variant: str) -> str:
    if variant == page.main:
        return style.BLACK
    return style.PURPLE if variant in page.nulls else style.BLUE


def _labels(ax: Axes, page: Settings, places: dict[str, float], headings: dict[str, float]) -> None:
    """Names of variants as ticks, those of factors above them in bold."""
    ax.set_yticks(list(places.values()), [f"main: {page.main}", *list(places)[1:]])
    for factor, y in headings.items():
        style.beside(ax, -0.03, y + 0.1, factor, fontsize=8.5, fontweight="bold")


def _words(ax: Axes, page: Settings, table: pd.DataFrame, places: dict[str, float]) -> None:
    """At the right: size of the set, and verdicts of the ledger that are others than the main procedure's."""
    style.beside(ax, 1.03, -0.9, "set | verdicts", fontsize=8, color="#555555")
    sizes = table[table["quantity"] == "set_size"].groupby("variant")["value"].mean()
    other = changed_verdicts(table, page.main)
    for name, y in places.items():
        size = f"{sizes[name]:.0f}" if name in sizes else "–"
        told = f"{other[name][0]}/{other[name][1]}" if name in other and name != page.main else ""
        style.beside(ax, 1.03, y, f"{size} | {told}" if told else size, fontsize=8)


def note(page: Settings, seeds: list[int]) -> str:
    """The foot of the page."""
    return (
        f"{wording.count(seeds)}, each a mark; doses from the discovery half, effects from the test half, paired 95 % "
        f"bootstrap intervals. Latents are the same where matched decoder rows have a cosine of {page.same_cosine:g} "
        "or more. Band: the main recipe under other seeds of the dictionary (left two panels), its seeds (others). "
        "Chance: random sets of as many of a variant's latents. Rivals: each variant's own, at their own dose. "
        "Verdicts: claims told otherwise than of the main procedure, over claims and seeds. Purple: a null dictionary. "
        "Variants that are other studies have effects alone, their differences from main are not paired."
    )

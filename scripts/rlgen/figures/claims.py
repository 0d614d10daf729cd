"""The ledger as a page that one reads in a minute: one line per claim, a mark per seed, the verdict in words."""

from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rlgen.figures import style, wording
from rlgen.figures.forms import latex
from rlgen.figures.page import Page
from rlgen.ledger import verdicts
from rlgen.ledger.settings import Claim
from rlgen.ledger.verdicts import FAILS, HOLDS, NO_DATA, OPEN, OVERALL

__all__ = ["Settings", "as_latex", "draw"]
GROUPS = {"paper": "Claims of the paper", "ours": "Claims of this project"}
GROUPS |= {"robustness": "Does it depend on how one looks?"}
GROUPS |= {"refutation": "What would settle it against the set (that these fail is good for it)"}
MARKS = {  # told apart by shape and filling, so in grey too
    HOLDS: {"marker": "o", "color": style.BLUE, "ms": 8},
    FAILS: {"marker": "X", "color": style.VERMILLION, "ms": 8.5, "mew": 0.4, "mec": "white"},
    OPEN: {"marker": "o", "mfc": "white", "mec": "black", "ms": 7.5, "mew": 1.1},
    NO_DATA: {"marker": "_", "color": style.GREY, "ms": 8, "mew": 1.6},
}
COLUMNS = {
    "claim": 0.0,
    "statistic": 0.4,
    "control": 0.595,
    "seed": 0.745,
    "verdict": 0.865,
}  # left edges, of the width
LINE = 0.36  # inches


class Settings(Page):
    """`claims` as the study states them; `top`: latents of a list in the dynamics."""

    seeds: list[int]
    top: int
    claims: dict[str, Claim]


def draw(page: Settings, ledger: pd.DataFrame) -> Figure:
    """One line per claim: sentence, statistic with bound, control, seeds, overall verdict."""
    overall = ledger[ledger["seed"] == OVERALL]
    groups = [kind for kind in GROUPS if (overall["of"] == kind).any()]
    lines = len(overall) + 0.9 * len(groups) + 1
    figure, body = style.new_page(11.7, LINE * max(lines, 3) + style.HEAD + style.FOOT)
    ax = body.subplots()
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(lines, 0)
    for column, x in COLUMNS.items():
        listed = f"seeds {', '.join(map(str, page.seeds))}" if len(page.seeds) < 5 else "seeds"
        title = {"statistic": "statistic (median), bound", "control": "against", "seed": listed}
        ax.text(x, 0.5, title.get(column, column), fontsize=8.5, color="#555555", va="center")
    y = 1.0
    for kind in groups:
        ax.text(0, y + 0.45, GROUPS[kind], fontweight="bold", fontsize=9.5, va="center")
        ax.axhline(y + 0.85, color=style.GREY, lw=0.8)
        y += 0.9
        for row in overall[overall["of"] == kind].itertuples():
            _line(ax, page, row, ledger[ledger["claim"] == row.claim], y + 0.5)
            ax.axhline(y + 1, color=style.PALE, lw=0.6)
            y += 1
    if not groups:
        style.say(ax, "the study states no claims")
    handles = [Line2D([], [], ls="", label=text, **mark) for text, mark in MARKS.items()]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    style.head_and_foot(figure, *answer(page, ledger), page, NOTE.format(seeds=wording.count(page.seeds)))
    return figure


NOTE = (
    "{seeds}. Bounds were written before the run. In a seed a claim holds where the whole 95 % interval lies beyond "
    "its bound, fails where the estimate does not, and is not decidable otherwise. Over seeds: sign test of the "
    "estimates, Holm over the claims of one heading; it fails where half of the seeds with data fail."
)


def _line(ax: Axes, page: Settings, row: tuple, rows: pd.DataFrame, y: float) -> None:
    """One claim."""
    put = {"va": "center", "fontsize": 8.5, "linespacing": 1.0}
    ax.text(COLUMNS["claim"], y, fill(row.says, 68), **put)
    if row.verdict == NO_DATA:
        ax.text(COLUMNS["statistic"], y, fill(row.reason, 58), **put | {"fontsize": 8, "style": "italic"})
    else:
        found = f"{number(row.value, row.statistic)} {row.unit}\nbound {row.bound}"
        ax.text(COLUMNS["statistic"], y, found, **put)
        ax.text(COLUMNS["control"], y, fill(against(page, row), 27), **put | {"fontsize": 8})
    step = min(0.024, 0.108 / len(page.seeds))
    for i, seed in enumerate(page.seeds):
        said = rows.loc[rows["seed"] == str(seed), "verdict"].iloc[0]
        ax.plot(COLUMNS["seed"] + step * (i + 0.5), y, ls="", **MARKS[said])
    weight = "bold" if row.verdict in (HOLDS, FAILS) else "normal"
    ax.text(COLUMNS["verdict"], y, words(row, rows), **put | {"fontsize": 8, "fontweight": weight})


def number(value: float, statistic: str) -> str:
    """A median as the page prints it."""
    if pd.isna(value):
        return "–"
    return {"set_size": f"{value:g}", "gap_share": wording.share(value)}.get(statistic, wording.change(value))


def against(page: Settings, row: tuple) -> str:
    """The control in few words: many rivals are counted, the tables name them."""
    rivals = page.claims[row.claim].rivals or []
    return row.control if len(rivals) < 2 else f"strongest of {len(rivals)} rivals, {row.control.rpartition(', ')[2]}"


def words(row: tuple, rows: pd.DataFrame) -> str:
    """Overall verdict in at most two short lines."""
    if row.verdict == NO_DATA:
        return "no data"
    if row.verdict == HOLDS:
        return f"holds\np = {row.p:.2g}, Holm {row.p_holm:.2g}"
    counts = rows.loc[rows["seed"] != OVERALL, "verdict"].value_counts()
    seeds = int(counts.sum())
    if row.verdict == FAILS:
        return f"fails\nin {counts.get(FAILS, 0)} of {seeds} seeds"
    holds = int(counts.get(HOLDS, 0))
    if holds == seeds:
        return f"holds in {'each of ' * (seeds > 1)}{wording.count(list(range(seeds)))}\ntoo few to decide"
    return f"mixed\nholds in {holds} of {seeds} seeds"


def answer(page: Settings, ledger: pd.DataFrame) -> tuple[str, str]:
    """The page's title, the counted answer; below it what so many seeds can decide, and what would settle it."""
    rows = ledger[ledger["seed"] == OVERALL]
    overall, settling = rows[rows["of"] != "refutation"], rows[rows["of"] == "refutation"]
    counts, n = overall["verdict"].value_counts(), len(page.seeds)
    fail, none = f"{counts.get(FAILS, 0)} fail", f"{counts.get(NO_DATA, 0)} no data"
    tested = overall[overall["seeds"] > 0].groupby("of").size().max() if overall["seeds"].any() else 1
    least = f"{wording.count(page.seeds)} can reach p = 1/{2**n}"
    if verdicts.decidable(n, tested):
        title = f"{counts.get(HOLDS, 0)} of {len(overall)} claims hold over {wording.count(page.seeds)}"
        title += f"; {fail}, {counts.get(OPEN, 0)} not decidable, {none}."
    else:
        every = int(every_seed(ledger).reindex(overall.index).sum())
        where = f"{'each of ' * (n > 1)}{wording.count(page.seeds)}"
        mixed = len(overall) - every - counts.get(FAILS, 0) - counts.get(NO_DATA, 0)
        title = f"{every} of {len(overall)} claims hold in {where}; {fail}, {mixed} mixed, {none}."
        least += f": too few for a test over seeds, none of {tested} claims can hold over seeds after Holm"
    said = [f"{r.says.rstrip('.')}: {r.verdict}" for r in settling.itertuples()]
    return title, ". ".join([least, *said]) + "."


def every_seed(ledger: pd.DataFrame) -> pd.Series:
    """Rows over seeds of claims that hold in every single seed."""
    single = ledger[ledger["seed"] != OVERALL]
    whole = (single["verdict"] == HOLDS).groupby(single["claim"]).all()
    return (ledger["seed"] == OVERALL) & ledger["claim"].map(whole).fillna(False).astype(bool)


def as_latex(page: Settings, ledger: pd.DataFrame) -> str:
    """The same lines as a LaTeX table."""
    lines = []
    for row in ledger[ledger["seed"] == OVERALL].itertuples():
        rows = ledger[ledger["claim"] == row.claim]
        seeds = rows.loc[rows["seed"] != OVERALL, "verdict"]
        lines.append(
            {
                "claim": row.says,
                "statistic": f"{number(row.value, row.statistic)} {row.unit}".strip(),
                "bound": row.bound or "–",
                "against": row.control,
                "seeds": ", ".join(seeds),
                "over seeds": words(row, rows).replace("\n", ", "),
            }
        )
    note = NOTE.format(seeds=wording.count(page.seeds))
    return latex(page, pd.DataFrame(lines), note, columns="p{6cm}lllll", nothing="no claims are stated")

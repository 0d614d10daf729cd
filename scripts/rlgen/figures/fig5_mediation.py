"""Figure 5: which features mediate, and are they the same on every task beyond chance?

The first page is the answer, overlap against chance; the second holds scores, sets and pairs of tasks.
"""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import style, wording
from rlgen.figures.page import ProceduresPage, members, seeds_of

TABLES = {  # table -> its columns
    "scores": ["procedure", "seed", "population", "task", "latent", "score_name", "score", "threshold", "kept"],
    "overlap": [
        "procedure", "seed", "population", "task_a", "task_b", "jaccard", "chance_mean", "chance_lo", "chance_hi",
    ],
    "sets": ["procedure", "seed", "task", "size", "critical", "carried_share", "latents", "note"],
}  # fmt: skip
POPULATIONS = ("critical", "noncritical")
NOTE_WIDTH = 26  # letters of a line beside an empty set
SHOWN_FROM = 0.04  # latents scoring below this share of the task's maximum are not drawn


class Settings(ProceduresPage):
    """`selection`: the tasks that the procedures choose on."""

    selection: list[str]


LOOKS = {  # population -> label and filling
    "critical": ("lists from samples that only one model gets right", True),
    "noncritical": ("lists from samples that both models get right", False),
}


def draw(page: Settings, scores: pd.DataFrame, overlap: pd.DataFrame, sets: pd.DataFrame) -> Figure:
    """Overlap of the leading procedure's lists beside chance, a row per seed: of two tasks, and of all."""
    seeds = seeds_of(sets)
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 1.6 + 0.45 * max(len(seeds), 1))
    own = overlap[overlap["procedure"] == page.leading]
    whole, pairs = of_all(own), of_pairs(own)
    both = body.subplots(1, 2)
    for ax, table, title in zip(both, (pairs, whole), ("two tasks", f"all {len(page.selection)} tasks"), strict=True):
        _rows(ax, table, seeds)
        ax.set_title(f"Features that {title} share", loc="left", fontweight="bold")
        ax.set_xlabel("overlap of their lists (Jaccard)" + (", mean over pairs" if table is pairs else ""))
    handles = [style.dot(style.SET_COLOUR, text, hollow=not filled) for text, filled in LOOKS.values()]
    handles += [style.dot(style.GREY, "chance, with its 95 % range for all tasks", marker="|")]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    style.head_and_foot(figure, answer(page, whole, pairs), _beyond(whole), page,
                        f"Procedure {page.leading}, {wording.count(seeds)}, a row each; discovery half. Chance: lists "
                        "of the same lengths drawn within strata of frequency and norm. The other procedures, scores, "
                        "thresholds and pairs of tasks: second page of the PDF.")  # fmt: skip
    return figure


def of_all(overlap: pd.DataFrame) -> pd.DataFrame:
    """Overlap of all tasks' lists."""
    return overlap[(overlap["task_a"] == "ALL") & overlap["task_b"].fillna("").eq("") & overlap["jaccard"].notna()]


def of_pairs(overlap: pd.DataFrame) -> pd.DataFrame:
    """Overlap of two tasks' lists, mean over pairs of tasks."""
    keys = ["procedure", "seed", "population"]
    pairs = overlap[(overlap["task_a"] != "ALL") & overlap["jaccard"].notna()]
    return pairs.groupby(keys, as_index=False)[["jaccard", "chance_mean"]].mean()


def _rows(ax: Axes, table: pd.DataFrame, seeds: list[int]) -> None:
    """A row per seed: both kinds of lists, chance as a tick, its range as a bar where the table holds one."""
    for y, seed in enumerate(seeds):
        cells = table[table["seed"] == seed]
        if cells.empty:
            style.beside(ax, 0.02, y, "no lists to compare", style="italic")
        for r in cells.itertuples():
            filled = LOOKS[r.population][1]
            if filled and "chance_lo" in cells:
                ends = [r.chance_lo, r.chance_hi]
                ax.plot(ends, [y, y], color=style.PALE, lw=12, solid_capstyle="butt", zorder=0)
            if filled:
                ax.plot(r.chance_mean, y, "|", color=style.GREY, ms=16, mew=2, zorder=1)
            beside, face = (y - 0.17, style.SET_COLOUR) if filled else (y + 0.17, "white")
            ax.plot(r.jaccard, beside, "o", color=style.SET_COLOUR, mfc=face, ms=7, mew=1.4)
    ax.set_yticks(range(len(seeds)), [f"seed {seed}" for seed in seeds])
    ax.set_ylim(max(len(seeds), 1) - 0.5, -0.5)
    ax.set_xlim(min(-0.008, ax.get_xlim()[0]), max(0.25, ax.get_xlim()[1]))
    ax.grid(True, axis="x")


def answer(page: Settings, whole: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """The title: how much of their features tasks share, and how much by chance."""
    tables = [(table[table["population"] == "critical"], table) for table in (pairs, whole)]
    if any(own.empty for own, _ in tables):
        return f"{page.leading or 'No procedure'} has no lists to compare"
    found, chance = ([own[c].mean() for own, _ in tables] for c in ("jaccard", "chance_mean"))
    beyond = wording.change(found[0] - chance[0])
    whole_ = f"all {len(page.selection)} share {wording.share(found[1])} (chance {wording.share(chance[1])})"
    return f"Two tasks share {wording.share(found[0])} of their features, {beyond} beyond chance; {whole_}"


def _beyond(whole: pd.DataFrame) -> str:
    """In how many seeds all tasks share more than chance does, and what lists of other samples share."""
    own = whole[whole["population"] == "critical"]
    n, beyond = len(own), int((own["jaccard"] > own["chance_hi"]).sum())
    if not n:
        return ""
    said = (
        f"All tasks' lists overlap beyond 97.5 % of chance in {beyond or 'none'} of {wording.count(list(own['seed']))}."
    )
    others = whole.loc[whole["population"] == "noncritical", "jaccard"]
    return said + (
        f" Lists from samples that both models get right share {wording.share(others.mean())}." if len(others) else ""
    )


def appendix(page: Settings, scores: pd.DataFrame, overlap: pd.DataFrame, sets: pd.DataFrame) -> Figure:
    """One row per procedure: scores per task, sets per seed, overlap matrix, intersection against chance."""
    figure, body = style.new_page(11.7, 2.6 * len(page.procedures) + 1.75)
    seeds = seeds_of(sets)
    grid = body.subplots(len(page.procedures), 4, squeeze=False, width_ratios=[1.9, 0.95, 1.05, 0.95])
    for axes, name in zip(grid, page.procedures, strict=True):
        colour = style.procedure_colour(page, name)
        own_sets, own_overlap = sets[sets["procedure"] == name], overlap[overlap["procedure"] == name]
        p = page.procedures[name]
        own_scores = scores[(scores["procedure"] == name) & (scores["score_name"] == p.list_score)]
        own_scores = own_scores[own_scores["population"] == "critical"]
        _scores(axes[0], page, own_scores, own_sets, seeds, colour)
        _sets(axes[1], own_sets, seeds, colour)
        _matrix(axes[2], page, own_overlap)
        _chance(axes[3], own_overlap, seeds, colour)
        cut = f"{p.cut} {p.cut_count}" if p.cut == "top" else f"{p.cut} cut at {wording.share(p.cut_share)}"
        rule = f"{p.score} score, {cut}"
        axes[0].set_title(f"{name}: {rule}\n{p.dictionary} / {p.recipe}, samples {p.critical}", loc="left")
    for ax, title in zip(grid[0, 1:], ("Mediating set", "Overlap, %", "Against chance"), strict=True):
        ax.set_title(title, loc="left")
    ring = style.dot(style.BLACK, "in the mediating set", hollow=True)
    handles = [*style.seed_handles(seeds), style.dot(style.PALE, "below the task's threshold"), ring]
    handles += [style.stroke(style.BLACK, "threshold"), style.stroke(style.GREY, "chance: mean, 95 % range")]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    critical = sets.loc[sets["task"] != "ALL", "critical"]
    samples = f"{int(critical.min())} to {int(critical.max())}" if len(critical.dropna()) else "no"
    style.head_and_foot(
        figure,
        "Scores, sets and overlaps of every procedure",
        _finding(page, sets),
        page,
        f"{wording.count(seeds)}; {samples} critical samples per task and seed, discovery half (gained: reference "
        "wrong, tuned model right; lost: the reverse). Scores relative to the task's best; below "
        f"{wording.share(SHOWN_FROM)} not drawn. Matrices: Jaccard of two tasks' lists, mean over seeds: critical "
        "below the diagonal, both-right samples above. Chance: permutation within strata of frequency and norm.",
    )
    return figure


def _scores(ax: Axes, page: Settings, scores: pd.DataFrame, sets: pd.DataFrame, seeds: list[int], colour: str) -> None:
    """Scores of all latents, one column per task, one lane per seed; members of the set are ringed."""
    tasks = page.selection
    if scores.empty:
        style.say(ax, "no critical samples: the models never differ\nin the way this procedure asks for")
        return
    for (task, seed), cells in scores.groupby(["task", "seed"]):
        if task not in tasks:
            continue
        best = cells["score"].max()
        at = tasks.index(task) + style.lane(seed, seeds, 0.5)
        if not best > 0:
            ax.text(at, 0.5, "no positive score", rotation=90, ha="center", va="center", fontsize=8)
            continue
        cells = cells[cells["score"] > SHOWN_FROM * best]
        marker = style.seed_marker(seed, seeds)
        kept, chosen = cells["kept"].astype(bool), cells["latent"].isin(members(sets, seed))
        for where, look in (
            (~kept, {"color": style.PALE}),
            (kept, {"color": colour}),
            (chosen, {"mfc": "none", "mec": "black", "mew": 0.7}),
        ):
            y = cells.loc[where, "score"] / best
            ax.plot(np.full(len(y), at), y, marker, ls="", ms=4.5, **look)
        threshold = cells["threshold"].max() / best if len(cells) else np.nan
        ax.plot([at - 0.11, at + 0.11], [threshold] * 2, color="black", lw=1.3)
    ax.set_xticks(range(len(tasks)), tasks)
    ax.set_xlim(-0.5, len(tasks) - 0.5)
    ax.set_ylim(0, 1.06)
    ax.set_ylabel("score / task's best")


def _sets(ax: Axes, sets: pd.DataFrame, seeds: list[int], colour: str) -> None:
    """Size of the set and the share of the shift that it carries, per seed; the reason when it is empty."""
    whole = sets[sets["task"] == "ALL"].set_index("seed")
    if whole.empty:
        style.say(ax, "no set was computed")
        return
    top = max(1, whole["size"].max())
    for y, seed in enumerate(seeds):
        if seed not in whole.index:
            continue
        row = whole.loc[seed]
        ax.barh(y, row["size"], color=colour, height=0.35)
        if row["size"] > 0:
            carried = "" if pd.isna(row["carried_share"]) else f", {wording.share(row['carried_share'])} of the shift"
            text = f"{int(row['size'])} features{carried}"
        else:
            text = "empty: " + (str(row["note"]) if pd.notna(row["note"]) else "no feature passed the cut")
            ax.text(0.02, y, fill(text, NOTE_WIDTH), transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
            continue
        ax.text(0, y - 0.26, text, va="bottom", fontsize=8.5, wrap=True)
    ax.set_yticks(range(len(seeds)), [f"seed {s}" for s in seeds])
    ax.set_ylim(len(seeds) - 0.6, -0.75)
    ax.set_xlim(0, 1.5 * top)
    ax.set_xlabel("features")


def _matrix(ax: Axes, page: Settings, overlap: pd.DataFrame) -> None:
    """Jaccard of every pair of tasks: critical samples below the diagonal, non-critical ones above."""
    tasks = page.selection
    table = np.full((len(tasks), len(tasks)), np.nan)
    pairs = overlap[
        overlap["task_a"].isin(tasks) & overlap["task_b"].isin(tasks) & (overlap["task_a"] != overlap["task_b"])
    ]
    for (population, a, b), value in pairs.groupby(["population", "task_a", "task_b"])["jaccard"].mean().items():
        low, high = sorted((tasks.index(a), tasks.index(b)))
        table[(high, low) if population == "critical" else (low, high)] = value
    if np.isnan(table).all():
        style.say(ax, "no two tasks have\nlists to compare")
        return
    style.cells(ax, table)
    ax.set_xticks(np.arange(len(tasks)) + 0.5, tasks)
    ax.set_yticks(np.arange(len(tasks)) + 0.5, tasks)


def _chance(ax: Axes, overlap: pd.DataFrame, seeds: list[int], colour: str) -> None:
    """Mean pairwise overlap and the intersection of all tasks, per population and seed, with chance."""
    labels = []
    for x, (kind, population) in enumerate([(k, p) for k in ("pairs", "all") for p in POPULATIONS]):
        labels.append(f"{kind}\n{'crit.' if population == 'critical' else 'both r.'}")
        whole = (overlap["task_a"] == "ALL") & overlap["task_b"].fillna("").eq("")
        where = whole if kind == "all" else ~overlap["task_a"].eq("ALL")
        cells = overlap[where & (overlap["population"] == population)]
        means = cells.groupby("seed")[["jaccard", "chance_mean", "chance_lo", "chance_hi"]].mean()
        for seed, row in means.iterrows():
            at = x + style.lane(seed, seeds, 0.5)
            if kind == "all":  # the range of a mean over pairs is not the mean of the ranges
                ax.plot([at, at], [row["chance_lo"], row["chance_hi"]], color=style.PALE, lw=5, solid_capstyle="butt")
            ax.plot([at - 0.09, at + 0.09], [row["chance_mean"]] * 2, color=style.GREY, lw=1.5)
            hollow = population != "critical"
            ax.plot(
                at,
                row["jaccard"],
                style.seed_marker(seed, seeds),
                color=colour,
                mfc="white" if hollow else colour,
                ms=5,
            )
        if means["jaccard"].dropna().empty:
            ax.text(x, 0.03, "none", ha="center", fontsize=8)
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.set_ylim(-0.03, 1.05)
    ax.set_ylabel("overlap (Jaccard)")
    ax.grid(True, axis="y")


def _finding(page: Settings, sets: pd.DataFrame) -> str:
    """Set sizes of each procedure, in words."""
    whole = sets[sets["task"] == "ALL"]
    parts = []
    for name in page.procedures:
        sizes = whole[whole["procedure"] == name].sort_values("seed")["size"]
        words = (
            "not computed"
            if sizes.empty
            else "empty in every seed"
            if not sizes.any()
            else " / ".join(str(int(s)) for s in sizes)
        )
        parts.append(f"{name} {words}")
    return "Features in the mediating set, per seed:  " + ";  ".join(parts)

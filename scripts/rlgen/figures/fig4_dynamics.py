"""Figure 4: when do the features of post-training appear?

The first page counts in steps; the second holds the matrices and the distance covered.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rlgen.figures import style, wording
from rlgen.figures.page import Page, seeds_of

COLUMNS = ["seed", "kind", "model", "reading", "a", "b", "value", "lo", "hi"]
READINGS = {
    "joint": "ranked by NRN, dictionary over all checkpoints",
    "shift": "ranked by activation shift, three-model dictionary",
}


class Settings(Page):
    """`models`: the post-trained models followed; `top`: length of the compared lists."""

    models: list[str]
    top: int


def draw(page: Settings, dynamics: pd.DataFrame) -> Figure:
    """Overlap with the final list against steps, a panel per reading."""
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 3.6)
    seeds = seeds_of(dynamics)
    for ax, (reading, words) in zip(body.subplots(1, 2), READINGS.items(), strict=True):
        rows = dynamics[(dynamics["reading"] == reading) & dynamics["model"].isin(page.models)]
        if rows.empty:
            style.say(ax, "this reading was not made")
            continue
        _approach(ax, page, rows, dynamics[dynamics["kind"] == "steps"], "steps", seeds)
        ax.set_title(f"Lists {words}", loc="left", fontweight="bold")
        ax.set_ylabel("overlap with the final list")
    _legend(body, page, seeds)
    style.head_and_foot(
        figure,
        answer(page, dynamics),
        _finding(page, dynamics),
        page,
        f"{wording.count(seeds)}, a line each; top {page.top} lists of alive latents. Chance: mean and 95 % range of "
        "lists drawn at random from the alive latents. All pairs of checkpoints, and overlap against "
        "distance covered: second page of the PDF.",
    )
    return figure


def _legend(body: SubFigure, page: Settings, seeds: list[int]) -> None:
    handles = [style.stroke(style.model_colour(m, page.roles), m, dashes(page, m)) for m in page.models]
    handles += [*style.seed_handles(seeds), style.stroke(style.GREY, "chance: mean of random lists (grey: range)", ":")]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def dashes(page: Settings, model: str) -> str:
    """The line of a model, told from others in grey print, too."""
    return ("-", "--", "-.", ":")[page.models.index(model) % 4]


def answer(page: Settings, dynamics: pd.DataFrame) -> str:
    """The title: how much of the final list stands at the first checkpoint, and who is settled earlier."""
    rows = dynamics[(dynamics["kind"] == "overlap") & (dynamics["reading"] == "joint")]
    first = {}
    for model in page.models:
        own = rows[(rows["model"] == model) & rows["value"].notna()]
        own = own[(own["a"] == own["a"].min()) & (own["b"] == own["b"].max())]
        if len(own):
            first[model] = own.set_index("seed")["value"]
    if not first:
        return "No lists over training to compare"
    shares = " and ".join(f"{wording.share(v.mean())} of {model}'s" for model, v in first.items())
    said = f"at its first checkpoint {shares} final top {page.top} features are in place"
    if len(first) != 2:
        return f"A{said[1:]}"
    (a, of_a), (b, of_b) = first.items()
    between = (of_a - of_b).dropna()
    counts = {a: int((between > 0).sum()), b: int((between < 0).sum())}
    who = next((model for model, seeds in counts.items() if len(between) and seeds == len(between)), "Neither")
    return f"{who} settles first: {said}"


def appendix(page: Settings, dynamics: pd.DataFrame) -> Figure:
    """One row per reading: overlap matrix of each model, then overlap with the end against steps and displacement."""
    models = page.models
    figure, body = style.new_page(11.7, 8.0)
    seeds = seeds_of(dynamics)
    parts = body.subfigures(2, 1)
    for part, (reading, words) in zip(parts, READINGS.items(), strict=True):
        axes = part.subplots(1, len(models) + 2, width_ratios=[1] * len(models) + [1.25, 1.25])
        part.suptitle(f"Lists {words}", fontsize=10, x=0.01, ha="left", fontweight="bold")
        rows = dynamics[(dynamics["reading"] == reading) & dynamics["model"].isin(models)]
        if rows.empty:
            for ax in axes:
                style.say(ax, "this reading was not made" if ax is axes[0] else "")
            continue
        for ax, model in zip(axes, models, strict=False):
            _matrix(ax, page, rows[(rows["kind"] == "overlap") & (rows["model"] == model)], model)
        for ax, kind in zip(axes[-2:], ("steps", "displacement"), strict=True):
            _approach(ax, page, rows, dynamics[dynamics["kind"] == kind], kind, seeds)
        axes[-2].set_ylabel("overlap with the final list")
    _legend(body, page, seeds)
    style.head_and_foot(
        figure,
        "Overlap of every pair of checkpoints, and against the distance covered",
        _finding(page, dynamics),
        page,
        f"{wording.count(seeds)}; top {page.top} lists of alive latents. Matrices: mean over seeds of the shared part "
        "of two checkpoints' lists. Displacement: distance of the activations from the reference, relative to the last "
        "checkpoint. Chance: mean and 95 % range of lists drawn at random from the alive latents. Lines are seeds; no "
        "other intervals.",
    )
    return figure


def _matrix(ax: Axes, page: Settings, rows: pd.DataFrame, model: str) -> None:
    """Mean overlap of every pair of checkpoints, in percent."""
    table = rows.pivot_table(index="a", columns="b", values="value", aggfunc="mean")
    table = table.combine_first(table.T)  # a table may hold each pair once
    style.cells(ax, table.to_numpy())
    ax.set_aspect("equal")
    names = [f"{int(c)}" for c in table.columns]
    ax.set_xticks(np.arange(len(names)) + 0.5, names)
    ax.set_yticks(np.arange(len(names)) + 0.5, names)
    ax.set_title(f"{model}: overlap, %", loc="left", color=style.model_colour(model, page.roles))
    ax.set_xlabel("checkpoint")
    ax.set_ylabel("checkpoint")


def _approach(
    ax: Axes, page: Settings, rows: pd.DataFrame, position: pd.DataFrame, kind: str, seeds: list[int]
) -> None:
    """Overlap with the last checkpoint against one measure of progress, with the chance band."""
    chance = rows[rows["kind"] == "chance"]
    if len(chance):
        ax.axhspan(chance["lo"].min(), chance["hi"].max(), color=style.PALE, lw=0)
        ax.axhline(chance["value"].mean(), color=style.GREY, ls=":", lw=1)
    for model, group in rows[rows["kind"] == "overlap"].groupby("model"):
        last = group["b"].max()
        for seed, line in group[group["b"] == last].groupby("seed"):
            where = position[(position["model"] == model) & (position["seed"] == seed)].set_index("a")["value"]
            line = line.assign(x=line["a"].map(where)).dropna(subset=["x"]).sort_values("a")
            ax.plot(
                line["x"],
                line["value"],
                dashes(page, model),
                color=style.model_colour(model, page.roles),
                marker=style.seed_marker(seed, seeds),
                ms=5,
                lw=1.2,
            )
    ax.set_ylim(0, 1.04)
    ax.set_xlim(0, 1.04)
    ax.grid(True)
    ax.set_xlabel("share of the training steps" if kind == "steps" else "share of the final displacement")
    ax.set_title("against steps" if kind == "steps" else "against displacement", loc="left")


def _finding(page: Settings, dynamics: pd.DataFrame) -> str:
    """Per reading, in how many seeds each of two models is ahead at its first checkpoint, in words."""
    parts = []
    for reading, words in READINGS.items():
        rows = dynamics[(dynamics["kind"] == "overlap") & (dynamics["reading"] == reading)]
        rows = rows[(rows["a"] == rows["a"].min()) & (rows["b"] == rows["b"].max())]
        first = rows.pivot_table(index="seed", columns="model", values="value").reindex(columns=page.models).dropna()
        if len(page.models) == 2 and len(first):
            a, b = page.models
            counts = f"{a} in {int((first[a] > first[b]).sum())} of {wording.count(list(first.index))}"
            parts.append(f"{words.partition(',')[0]}: {counts}, {b} in {int((first[a] < first[b]).sum())}")
    return f"Ahead at the first checkpoint, lists {';  '.join(parts)}." if parts else ""

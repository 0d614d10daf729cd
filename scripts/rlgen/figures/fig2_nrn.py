"""Figure 2: are post-trained models' latents their own? Norm ratios, nulls, and latent scaling as the judge."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlgen.figures import exclusive, style
from rlgen.figures.page import Page, seeds_of

COLUMNS = ["dictionary", "recipe", "seed", "latent", "alive", "nrn_l1", "nu_err", "nu_rec"]
CUTS = (exclusive.TAIL, 0.9)
NU_SHOWN = (-0.3, 1.6)


class Settings(Page):
    """`pairs`: dictionary -> its post-trained model; `nulls`: dictionaries; `recipes`: recipe -> printed name.

    `models`: all of the study, in the order that colours follow.
    """

    models: list[str]
    pairs: dict[str, str]
    nulls: list[str]
    recipes: dict[str, str]


def draw(page: Settings, features: pd.DataFrame) -> Figure:
    """One row per recipe: distribution of the norm ratio, its tail per seed, latent scaling of the tail."""
    figure, body = style.new_page(11.7, 3.3 * len(page.recipes) + 1.7)
    seeds = seeds_of(features)
    grid = body.subplots(len(page.recipes), 3, squeeze=False, width_ratios=[1.5, 1, 1])
    for axes, (recipe, name) in zip(grid, page.recipes.items(), strict=True):
        rows = features[features["recipe"] == recipe]
        _distribution(axes[0], page, rows, name)
        _tail(axes[1], page, rows[rows["alive"]], seeds)
        _scaling(axes[2], page, rows[rows["alive"]], seeds)
    high = max(0.1, *(ax.get_ylim()[1] for ax in grid[:, 1]))
    for ax in grid[:, 1]:  # one scale, so that the objectives can be compared
        ax.set_ylim(-0.02 * high, 1.15 * high)
    grid[0, 1].set_title("Share of alive latents in the tail", loc="left")
    grid[0, 2].set_title(f"Latent scaling of those above {style.share(CUTS[0])}", loc="left")
    body.legend(handles=style.seed_handles(seeds), loc="outside lower center", ncols=len(seeds))
    style.head_and_foot(
        figure,
        "Do post-trained models have latents of their own, or does the objective invent them?",
        _finding(page, features),
        page,
        f"{style.count(seeds)}; alive latents only (numbers in the panels). NRN: L1 norm of the post-trained model's "
        "decoder row over the sum of both norms; 1 = only the post-trained model, .5 = shared, 0 = only the reference. "
        "ν: how much of the latent the reference needs, relative to the post-trained model. Exclusive by our cut / by "
        "public code's: both ν below .5 (pale) / |ν| of the error below .2 and of the reconstruction below .5 (dark).",
    )
    return figure


def _entries(page: Settings) -> list[tuple[str, str, str]]:
    """(dictionary, label, colour) of pairs, then nulls."""
    pairs = [
        (d, f"{page.roles.reference}–{m}", style.model_colour(m, page.roles, page.models))
        for d, m in page.pairs.items()
    ]
    return pairs + [(d, d.replace("-", " "), style.GREY) for d in page.nulls]


def _distribution(ax: Axes, page: Settings, rows: pd.DataFrame, name: str) -> None:
    """Histogram per dictionary: thin lines are seeds, the thick one their mean; counts in the legend."""
    edges = np.linspace(0, 1, 41)
    handles = []
    dashes = dict(zip(page.nulls, (":", "--", "-."), strict=False))
    for dictionary, label, colour in _entries(page):
        cells = rows[rows["dictionary"] == dictionary]
        if cells.empty:
            continue
        null = dictionary in page.nulls
        shares = [
            np.histogram(s.loc[s["alive"], "nrn_l1"], edges)[0] / max(1, s["alive"].sum())
            for _, s in cells.groupby("seed")
        ]
        if not null:
            for line in shares:
                ax.stairs(line, edges, color=colour, lw=0.5, alpha=0.6)
        ax.stairs(np.mean(shares, axis=0), edges, color=colour, lw=1.2 if null else 2, ls=dashes.get(dictionary, "-"))
        dropped = len(cells) - int(cells["alive"].sum())
        text = f"{label}: {int(cells['alive'].sum())} alive, {dropped} dropped"
        handles.append(style.stroke(colour, text, dashes.get(dictionary, "-")))
    ax.set_title(f"{name}: distribution of the norm ratio", loc="left")
    ax.set_xlabel("NRN (share of the decoder norm in the post-trained model)")
    ax.set_ylabel("share of alive latents\n(log scale)")
    ax.set_yscale("log")
    ax.set_ylim(8e-4, 30)
    ax.set_yticks([1e-3, 1e-2, 1e-1, 1], [".001", ".01", ".1", "1"])
    ax.set_xlim(0, 1)
    for cut in CUTS:
        ax.axvline(cut, color=style.GREY, lw=0.7, ls="--")
    if handles:
        ax.legend(handles=handles, loc="upper left", fontsize=8, labelspacing=0.25)
    else:
        ax.text(0.5, 0.5, "no dictionary of this recipe", transform=ax.transAxes, ha="center")


def _tail(ax: Axes, page: Settings, alive: pd.DataFrame, seeds: list[int]) -> None:
    """Share of latents above each cut, one marker per seed."""
    labels = []
    for x, (dictionary, label, colour) in enumerate(_entries(page)):
        labels.append(label.replace("–", "–\n").replace(" ", "\n"))
        cells = alive[alive["dictionary"] == dictionary]
        if cells.empty:
            ax.text(x, 0.01, "not\ntrained", ha="center", va="bottom", fontsize=8, color=style.GREY)
            continue
        for cut, shift, hollow in zip(CUTS, (-0.2, 0.2), (False, True), strict=True):
            for seed, group in cells.groupby("seed"):
                value = (group["nrn_l1"] > cut).mean()
                at = x + shift + style.lane(seed, seeds, 0.22)
                ax.plot(
                    at, value, style.seed_marker(seed, seeds), color=colour, mfc="white" if hollow else colour, ms=5.5
                )
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.grid(axis="y", color=style.PALE, lw=0.6)
    ax.set_ylabel("share of alive latents")
    above = [style.dot(style.GREY, f"above {style.share(c)}", hollow=bool(i)) for i, c in enumerate(CUTS)]
    ax.legend(handles=above, loc="upper right", fontsize=8)


def _scaling(ax: Axes, page: Settings, alive: pd.DataFrame, seeds: list[int]) -> None:
    """nu of error against nu of reconstruction for latents above the first cut; how many are exclusive by each cut."""
    tail = alive[(alive["nrn_l1"] > CUTS[0]) & alive["dictionary"].isin(page.pairs)]
    ax.set_xlabel("ν of the error")
    ax.set_ylabel("ν of the reconstruction")
    low, high = NU_SHOWN
    ax.set_xlim(low, high)
    ax.set_ylim(low, high + 0.4)  # room for the counts
    for cut, colour in zip(exclusive.CUTS.values(), (style.PALE, "#BDBDBD"), strict=True):
        (left, right), (bottom, top) = np.clip(cut, low, high)
        ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, color=colour, lw=0, zorder=0))
    ax.text(high - 0.03, low + 0.03, "shared after all", fontsize=8, color="#555555", ha="right")
    lines = []
    for dictionary, model in page.pairs.items():
        cells = tail[tail["dictionary"] == dictionary]
        colour = style.model_colour(model, page.roles, page.models)
        known = cells.dropna(subset=["nu_err", "nu_rec"])
        for seed, group in known.groupby("seed"):
            x, y = np.clip(group["nu_err"], low, high), np.clip(group["nu_rec"], low, high)
            ax.plot(x, y, style.seed_marker(seed, seeds), color=colour, ms=3.8, alpha=0.75, mew=0, clip_on=False)
        lines.append(
            (f"{model}: {_exclusive(known)} of {len(cells)} exclusive, {len(cells) - len(known)} undefined", colour)
        )
    for i, (text, colour) in enumerate(lines):
        ax.text(
            0.02,
            0.985 - 0.085 * i,
            text,
            transform=ax.transAxes,
            va="top",
            fontsize=8.5,
            color=colour,
            fontweight="bold",
        )


def _exclusive(known: pd.DataFrame) -> str:
    """How many are exclusive by our cut / by the public one."""
    return " / ".join(str(n) for n in exclusive.counts(known).values())


def _finding(page: Settings, features: pd.DataFrame) -> str:
    """Tail shares of each recipe and pair, in words."""
    alive = features[features["alive"]]
    parts = []
    for recipe, name in page.recipes.items():
        values = []
        for dictionary, model in page.pairs.items():
            cells = alive[(alive["dictionary"] == dictionary) & (alive["recipe"] == recipe)]
            tail = cells[cells["nrn_l1"] > CUTS[0]]
            share = len(tail) / len(cells) if len(cells) else np.nan
            values.append(f"{model} {style.share(share)} ({_exclusive(tail)} of {len(tail)} exclusive)")
        parts.append(f"{name}: " + ", ".join(values))
    cuts = "our cut / public cut"
    return f"Share of latents with NRN above {style.share(CUTS[0])} (exclusive: {cuts}).  " + ";  ".join(parts)

"""Figure 2: are post-trained models' latents their own?

The first page is the tail of the norm ratio, split by latent scaling; the second holds the distributions.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlgen.figures import exclusive, style, wording
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
    """One bar per recipe, pair and null: the share of alive latents in the tail, exclusive or shared after all."""
    counted, seeds = exclusive.table(features), seeds_of(features)
    bars = [(r, d, label, colour) for r in page.recipes for d, label, colour in _entries(page)]
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 1.3 + 0.34 * (len(bars) + len(page.recipes)))
    ax, y, ticks = body.subplots(), 0.0, {}
    for recipe, name in page.recipes.items():
        style.beside(ax, -0.01, y, name, fontweight="bold")
        for _, dictionary, label, colour in [bar for bar in bars if bar[0] == recipe]:
            y += 1
            ticks[y] = label
            own = counted[(counted["dictionary"] == dictionary) & (counted["recipe"] == recipe)]
            _bar(ax, own, y, colour, seeds)
        y += 1.4
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(y - 0.6, 1), -0.7)
    most = max(0.01, ax.get_xlim()[1])
    ax.set_xlim(-0.012 * most, 1.25 * most)  # marks at 0 are whole, and words fit behind the longest bar
    ax.set_xlabel(f"share of alive latents with NRN above {wording.share(CUTS[0])}")
    ax.grid(True, axis="x")
    full, pale = (Rectangle((0, 0), 1, 1, color=style.GREY, alpha=a, lw=0) for a in (1, 0.3))
    body.legend([full, pale, *style.seed_handles(seeds)],
                ["truly its own, by latent scaling", "shared after all", *(f"seed {s}" for s in seeds)],
                loc="outside lower center", ncols=2 + len(seeds))  # fmt: skip
    style.head_and_foot(
        figure,
        answer(page, counted),
        _truly(page, counted),
        page,
        f"{wording.count(seeds)}, marks; bars are means over seeds. NRN: share of a decoder row's norm that lies in "
        "the post-trained model. Truly its own: both ν of latent scaling below .5. Distributions, counts, the cut of "
        "public code: second page of the PDF. Seeds are the spread.",
    )
    return figure


def _bar(ax: Axes, own: pd.DataFrame, y: float, colour: str, seeds: list[int]) -> None:
    """One dictionary; `own`: its counts per seed."""
    own = own[own["alive"] > 0]
    if own.empty:
        style.beside(ax, 0.005, y, "not trained", fontsize=8.5, style="italic")
        return
    tail, mine = own["tail"] / own["alive"], own["exclusive_ours"] / own["alive"]
    ax.barh(y, mine.mean(), color=colour, height=0.5)
    ax.barh(y, (tail - mine).mean(), left=mine.mean(), color=colour, alpha=0.3, height=0.5)
    for seed, value in zip(own["seed"], tail, strict=True):
        at = y + style.lane(seed, seeds, 0.4)
        ax.plot(value, at, style.seed_marker(seed, seeds), color=colour, mfc="white", ms=5)
    told = tail.mean() >= 0.005  # what prints as 0 has no parts
    said = f"{tail.mean():.0%}" + (f", {_share_of_tail(own):.0%} of it its own" if told else "")
    ax.annotate(said, (tail.max(), y), xytext=(9, 0), textcoords="offset points", va="center", fontsize=8.5)


def _share_of_tail(own: pd.DataFrame) -> float:
    """Share of the tail's latents, of all seeds, that are exclusive by our cut; NaN without any."""
    return own["exclusive_ours"].sum() / own["tail"].sum() if own["tail"].sum() else np.nan


def _truly(page: Settings, counted: pd.DataFrame) -> str:
    """How much of each tail is truly the model's own, in words."""
    parts = []
    for recipe, name in page.recipes.items():
        own = counted[(counted["recipe"] == recipe) & counted["dictionary"].isin(page.pairs)]
        shares = {page.pairs[d]: _share_of_tail(cells) for d, cells in own.groupby("dictionary", sort=False)}
        said = ", ".join(f"{model} {wording.share(share)}" for model, share in shares.items() if np.isfinite(share))
        parts += [f"{name}: {said}"] if said else []
    cut = f"Specific: NRN above {wording.share(CUTS[0])}."
    return f"{cut} Of these, truly the model's own by latent scaling: {';  '.join(parts)}." if parts else cut


def answer(page: Settings, counted: pd.DataFrame) -> str:
    """The title: by the first recipe, does the target have fewer specific latents than the contrast?"""
    recipe = next(iter(page.recipes), None)
    own = counted[(counted["recipe"] == recipe) & (counted["alive"] > 0)]
    shares = {}
    for dictionary, model in page.pairs.items():
        cells = own[own["dictionary"] == dictionary].set_index("seed")
        if len(cells):
            shares[model.split("@")[0]] = cells["tail"] / cells["alive"]
    target, contrast = shares.get(page.roles.target), shares.get(page.roles.contrast)
    if target is None:
        return f"No alive latents of {page.roles.target} to judge"
    name, other = page.roles.target, page.roles.contrast
    if contrast is None:
        return f"{wording.share(target.mean())} of the alive latents are specific to {name}"
    between = (target - contrast).dropna()
    n, fewer, more = len(between), int((between < 0).sum()), int((between > 0).sum())
    shares = f"({wording.share(target.mean())} against {wording.share(contrast.mean())} of the alive)"
    if n and n in (fewer, more):
        kind = "fewer" if fewer else "more"
        return f"{name} adds {kind} specific latents than {other}{wording.in_each(n)} {shares}"
    if not fewer + more:
        return f"{name} adds as many specific latents as {other} {shares}"
    counts = f"in {fewer or 'none'} of {n} seeds, more in {more or 'none'}"
    return f"{name} adds fewer specific latents than {other} {counts} {shares}"


def appendix(page: Settings, features: pd.DataFrame) -> Figure:
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
    grid[0, 2].set_title(f"Latent scaling of those above {wording.share(CUTS[0])}", loc="left")
    body.legend(handles=style.seed_handles(seeds), loc="outside lower center", ncols=len(seeds))
    style.head_and_foot(
        figure,
        "Norm ratios, their tail, and latent scaling",
        _finding(page, features),
        page,
        f"{wording.count(seeds)}; alive latents only (numbers in the panels). NRN: L1 norm of the post-trained model's "
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
    style.log_shares(ax, 30)
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
    ax.grid(True, axis="y")
    ax.set_ylabel("share of alive latents")
    above = [style.dot(style.GREY, f"above {wording.share(c)}", hollow=bool(i)) for i, c in enumerate(CUTS)]
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
            values.append(f"{model} {wording.share(share)} ({_exclusive(tail)} of {len(tail)} exclusive)")
        parts.append(f"{name}: " + ", ".join(values))
    cuts = "our cut / public cut"
    return f"Share of latents with NRN above {wording.share(CUTS[0])} (exclusive: {cuts}).  " + ";  ".join(parts)

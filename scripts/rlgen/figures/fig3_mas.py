"""Figure 3: to which of three models do the latents of one common dictionary belong?

The first page is the triangle; the second holds every model's share.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rlgen.figures import style, wording
from rlgen.figures.page import Page, seeds_of

COLUMNS = ["dictionary", "recipe", "seed", "alive", "mas_l1_0", "mas_l1_1", "mas_l1_2"]
CORNERS_32 = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
HALF = 0.5  # a latent with more than this share of its norm in one model belongs to it


class Settings(Page):
    """`triple`: the dictionary; `members`: its three models in order; `recipes`: recipe -> printed name."""

    triple: str
    members: tuple[str, str, str]
    recipes: dict[str, str]


def draw(page: Settings, features: pd.DataFrame) -> Figure:
    """Density over the triangle of three models, one per recipe."""
    rows, dropped = _alive(page, features)
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 4.9)
    axes = body.subplots(1, max(1, len(page.recipes)), squeeze=False)[0]
    for ax, (recipe, name) in zip(axes, page.recipes.items(), strict=False):
        cells = rows[rows["recipe"] == recipe]
        ax.set_title(_count(name, cells, dropped, recipe), loc="left")
        if cells.empty:
            style.say(ax, "no alive latent")
        else:
            _ternary(ax, body, page, cells)
    style.head_and_foot(
        figure,
        answer(page, rows),
        _finding(page, rows),
        page,
        f"{wording.count(seeds_of(rows))}, their latents together. Place in the triangle: shares of a latent's decoder "
        f"L1 norm in the three models (MAS); white cross: shared by all; dashed: {wording.share(HALF)} in one model. "
        "Every model's share, per seed: second page of the PDF. No intervals: seeds are the spread.",
    )
    return figure


def answer(page: Settings, rows: pd.DataFrame) -> str:
    """The title: who owns latents, by every recipe."""
    parts = {name: cells for r, name in page.recipes.items() if len(cells := rows[rows["recipe"] == r])}
    if not parts:
        return "No alive latents to divide among the models"
    shares = {m: [float((c[f"mas_l1_{i}"] > HALF).mean()) for c in parts.values()] for i, m in enumerate(page.members)}
    nobody = [1 - sum(values) for values in zip(*shares.values(), strict=True)]
    first = max(shares, key=lambda model: sum(shares[model]))
    owned = ", ".join(map(wording.share, shares[first]))
    if max(nobody) <= HALF:
        return f"Most latents belong to one model: {first} owns {owned}"
    named = ", ".join(f"{name} {wording.share(share)}" for name, share in zip(parts, nobody, strict=True))
    most = "Most" if min(nobody) > HALF else "Many"
    return f"{most} latents belong to no single model ({named}); {first} owns most of the rest ({owned})"


def _alive(page: Settings, features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Alive latents of the dictionary, and the others."""
    own = features[features["dictionary"] == page.triple]
    alive = own["alive"].astype(bool)
    return own[alive], own[~alive]


def _count(name: str, cells: pd.DataFrame, dropped: pd.DataFrame, recipe: str) -> str:
    return f"{name}: {len(cells)} alive latents, {int((dropped['recipe'] == recipe).sum())} dropped"


def appendix(page: Settings, features: pd.DataFrame) -> Figure:
    """One row per recipe: every model's share of the norm."""
    rows, dropped = _alive(page, features)
    figure, body = style.new_page(11.7, 2.9 * len(page.recipes) + style.HEAD + style.FOOT)
    seeds = seeds_of(rows)
    grid = body.subplots(len(page.recipes), 3, squeeze=False)
    for axes, (recipe, name) in zip(grid, page.recipes.items(), strict=True):
        cells = rows[rows["recipe"] == recipe]
        axes[0].set_title(_count(name, cells, dropped, recipe), loc="left")
        for i, ax in enumerate(axes):
            if cells.empty:
                style.say(ax, "no alive latent" if i == 0 else "")
            else:
                _marginal(ax, page, cells, i)
        axes[0].set_ylabel("share of alive latents (log scale)")
    style.head_and_foot(
        figure,
        "Every model's share of the latents",
        _finding(page, rows),
        page,
        f"{wording.count(seeds)}: thin lines are seeds, the thick one their mean. MAS: share of a latent's decoder L1 "
        f"norm that lies in a model; one third each = shared by all (dotted). Bold: share of latents with more than "
        f"{wording.share(HALF)} in one model, per seed. No intervals: seeds are the spread.",
    )
    return figure


def _ternary(ax: Axes, part: SubFigure, page: Settings, cells: pd.DataFrame) -> None:
    """Density of latents over the triangle, counted in hexagons on a logarithmic scale."""
    shares_S3 = cells[[f"mas_l1_{i}" for i in range(3)]].to_numpy()
    x_S, y_S = (shares_S3 @ CORNERS_32).T
    density = ax.hexbin(
        x_S, y_S, gridsize=28, extent=(0, 1, 0, 0.87), bins="log", mincnt=1, cmap="viridis_r", linewidths=0.1
    )
    scale = part.colorbar(
        density, ax=ax, format="%g", label="latents per cell", shrink=0.6, pad=0.0, orientation="horizontal"
    )
    scale.solids.set_rasterized(False)
    loop_42 = np.vstack([CORNERS_32, CORNERS_32[:1]])
    ax.plot(*loop_42.T, color="#555555", lw=0.9)
    for i in range(3):  # lines on which one model holds half of the norm
        others = [CORNERS_32[j] for j in range(3) if j != i]
        ends = np.array([HALF * CORNERS_32[i] + (1 - HALF) * other for other in others])
        ax.plot(*ends.T, color=style.GREY, lw=0.6, ls="--")
    ax.plot(*CORNERS_32.mean(0), "+", color="white", ms=9, mew=2)
    owned = (shares_S3 > HALF).mean(0)
    ax.text(0.5, 0.92, f"no single model's: {1 - owned.sum():.0%}", ha="center", fontsize=9, fontweight="bold")
    for i, (corner, dx, ha) in enumerate(zip(CORNERS_32, (0, 0, 0.03), ("center", "center", "left"), strict=True)):
        dy = -0.09 if i < 2 else -0.02
        colour = style.model_colour(page.members[i], page.roles)
        ax.text(
            corner[0] + dx,
            corner[1] + dy,
            f"{page.members[i]}'s own: {owned[i]:.0%}",
            ha=ha,
            fontsize=9,
            color=colour,
            fontweight="bold",
        )
    ax.set_aspect("equal")
    ax.set_xlim(-0.1, 1.1)
    ax.set_ylim(-0.12, 0.98)
    ax.axis("off")


def _marginal(ax: Axes, page: Settings, cells: pd.DataFrame, index: int) -> None:
    """Histogram of one model's share."""
    edges = np.linspace(0, 1, 31)
    model = page.members[index]
    colour = style.model_colour(model, page.roles)
    values = [group[f"mas_l1_{index}"] for _, group in cells.groupby("seed")]
    shares = [np.histogram(v, edges)[0] / len(v) for v in values]
    for line in shares:
        ax.stairs(line, edges, color=colour, lw=0.6, alpha=0.6)
    ax.stairs(np.mean(shares, axis=0), edges, color=colour, lw=2)
    ax.axvline(1 / 3, color=style.GREY, lw=0.8, ls=":")
    ax.axvline(HALF, color=style.GREY, lw=0.7, ls="--")
    style.log_shares(ax, 3)
    ax.set_xlabel(f"MAS of {model} (share of the norm)")
    owned = " / ".join(wording.share((v > HALF).mean()) for v in values)
    ax.text(
        0.97,
        0.95,
        f"above {wording.share(HALF)}:\n{owned}",
        transform=ax.transAxes,
        ha="right",
        va="top",
        color=colour,
        fontweight="bold",
    )


def _finding(page: Settings, rows: pd.DataFrame) -> str:
    """Mean share of latents that one model owns, in words."""
    parts = []
    for recipe, name in page.recipes.items():
        cells = rows[rows["recipe"] == recipe]
        values = [f"{m} {wording.share((cells[f'mas_l1_{i}'] > HALF).mean())}" for i, m in enumerate(page.members)]
        parts.append(f"{name}: " + ", ".join(values))
    return f"Share of latents with more than {wording.share(HALF)} of their norm in one model.  " + ";  ".join(parts)

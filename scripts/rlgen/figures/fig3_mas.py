"""Figure 3: to which of three models do the latents of one common dictionary belong?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rlgen.figures import style
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
    """One row per recipe: ternary density and three marginals."""
    figure, body = style.new_page(11.7, 3.3 * len(page.recipes) + 1.4)
    rows = features[(features["dictionary"] == page.triple) & features["alive"]]
    dropped = features[(features["dictionary"] == page.triple) & ~features["alive"]]
    seeds = seeds_of(rows)
    grid = body.subplots(len(page.recipes), 4, squeeze=False, width_ratios=[1.35, 1, 1, 1])
    for axes, (recipe, name) in zip(grid, page.recipes.items(), strict=True):
        cells = rows[rows["recipe"] == recipe]
        count = f"{name}: {len(cells)} alive latents, {int((dropped['recipe'] == recipe).sum())} dropped"
        axes[0].set_title(count, loc="left")
        if cells.empty:
            for ax in axes:
                style.say(ax, "no alive latent" if ax is axes[0] else "")
            continue
        _ternary(axes[0], body, page, cells)
        for i, ax in enumerate(axes[1:]):
            _marginal(ax, page, cells, i)
        axes[1].set_ylabel("share of alive latents (log scale)")
    style.head_and_foot(
        figure,
        "Which model owns the latents of a dictionary over all three?",
        _finding(page, rows),
        page,
        f"{style.count(seeds)}, their latents together in the triangle; in the margins thin lines are seeds, the thick "
        "one their mean. MAS: share of a latent's decoder L1 norm that lies in a model; one third each = shared by all "
        f"(cross). Bold: share of latents with more than {style.share(HALF)} in one model, per seed. No intervals: "
        "seeds are the spread.",
    )
    return figure


def _ternary(ax: Axes, part: SubFigure, page: Settings, cells: pd.DataFrame) -> None:
    """Density of latents over the triangle, counted in hexagons on a logarithmic scale."""
    shares_S3 = cells[[f"mas_l1_{i}" for i in range(3)]].to_numpy()
    x_S, y_S = (shares_S3 @ CORNERS_32).T
    density = ax.hexbin(
        x_S, y_S, gridsize=28, extent=(0, 1, 0, 0.87), bins="log", mincnt=1, cmap="viridis_r", linewidths=0.1
    )
    scale = part.colorbar(density, ax=ax, format="%g", label="latents per cell", shrink=0.75, pad=0.02)
    scale.solids.set_rasterized(False)
    loop_42 = np.vstack([CORNERS_32, CORNERS_32[:1]])
    ax.plot(*loop_42.T, color="#555555", lw=0.9)
    for i in range(3):  # lines on which one model holds half of the norm
        others = [CORNERS_32[j] for j in range(3) if j != i]
        ends = np.array([HALF * CORNERS_32[i] + (1 - HALF) * other for other in others])
        ax.plot(*ends.T, color=style.GREY, lw=0.6, ls="--")
    ax.plot(*CORNERS_32.mean(0), "+", color=style.VERMILLION, ms=9, mew=1.2)
    for i, (corner, dx, ha) in enumerate(zip(CORNERS_32, (0, 0, 0.03), ("center", "center", "left"), strict=True)):
        dy = -0.09 if i < 2 else -0.02
        colour = style.model_colour(page.members[i], page.roles)
        ax.text(
            corner[0] + dx,
            corner[1] + dy,
            f"only {page.members[i]}",
            ha=ha,
            fontsize=9,
            color=colour,
            fontweight="bold",
        )
    ax.set_aspect("equal")
    ax.set_xlim(-0.1, 1.1)
    ax.set_ylim(-0.12, 0.92)
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
    ax.set_yscale("log")
    ax.set_ylim(8e-4, 3)
    ax.set_yticks([1e-3, 1e-2, 1e-1, 1], [".001", ".01", ".1", "1"])
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"MAS of {model} (share of the norm)")
    owned = " / ".join(style.share((v > HALF).mean()) for v in values)
    ax.text(
        0.97,
        0.95,
        f"above {style.share(HALF)}:\n{owned}",
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
        values = [f"{m} {style.share((cells[f'mas_l1_{i}'] > HALF).mean())}" for i, m in enumerate(page.members)]
        parts.append(f"{name}: " + ", ".join(values))
    return f"Share of latents with more than {style.share(HALF)} of their norm in one model.  " + ";  ".join(parts)

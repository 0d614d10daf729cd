"""Third page of figure 9: do latents that look shared do the same in both models? (docs/method.md, section 11.)"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import style, wording
from rlgen.figures.page import seeds_of
from rlgen.figures.variants import Settings
from rlgen.stats import rank_correlation

COLUMNS = [
    "seed", "latent", "nrn", "cosine", "prompts", "kl_reference", "kl_tuned", "pearson", "spearman", "chance",
    "chance_lo", "chance_hi",
]  # fmt: skip


def page_of(page: Settings, table: pd.DataFrame) -> Figure | None:
    """The page, where a study asks for it and finds such latents; else None."""
    known = table.dropna(subset=["spearman"])
    if known.empty:
        return None
    seeds = seeds_of(known)
    figure, body = style.new_page(11.7, 5.6)
    left, right = body.subplots(1, 2)
    for seed in seeds:
        rows, look = known[known["seed"] == seed], {"color": style.BLUE, "ms": 4, "alpha": 0.75}
        marker = style.seed_marker(seed, seeds)
        left.plot(rows["cosine"], rows["spearman"], marker, **look)
        right.plot(rows["kl_reference"].clip(lower=1e-9), rows["kl_tuned"].clip(lower=1e-9), marker, **look)
    _chance(left, known)
    left.set_xlabel("cosine of the latent's two decoder rows")
    left.set_ylabel("rank correlation over prompts of what\nablating it does to either model")
    left.set_title("The same prompts?", loc="left", fontweight="bold")
    _sizes(right, page, known)
    handles = [*style.seed_handles(seeds), style.stroke(style.GREY, "pairs of different latents: median, 95 %")]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    style.head_and_foot(figure, answer(known), finding(page, known), page, note(page, known, seeds))
    return figure


def alike(known: pd.DataFrame) -> float:
    """Share of latents whose correlation exceeds 97.5 % of their pairs with other latents, mean over seeds."""
    return (known["spearman"] > known["chance_hi"]).groupby(known["seed"]).mean().mean()


def told_by_cosine(known: pd.DataFrame) -> dict[int, float]:
    """Per seed the rank correlation, over latents, of decoder cosine and equivalence; NaN where either is constant."""
    found = {}
    for seed, rows in known.groupby("seed"):
        found[int(seed)] = rank_correlation(rows["cosine"], rows["spearman"]) if len(rows) > 2 else np.nan
    return found


def answer(known: pd.DataFrame) -> str:
    """How many latents that look shared do the same, and whether their decoders tell which."""
    told = [rho for rho in told_by_cosine(known).values() if np.isfinite(rho)]
    does = f"{100 * alike(known):.0f} % of frequent shared features do the same in both models beyond chance"
    if not told:
        return does
    return f"{does}; rank correlation of decoder cosine with it {wording.change(float(np.mean(told)))}"


def finding(page: Settings, known: pd.DataFrame) -> str:
    """The numbers behind it."""
    middle = [wording.share(value) for value in known.groupby("seed")["spearman"].median()]
    chance = [wording.share(value) for value in known.groupby("seed")["chance"].median()]
    cosines = ", ".join(wording.change(rho) for rho in told_by_cosine(known).values())
    return (
        f"Rank correlation of both models' KL over prompts, median over features: {', '.join(middle)} by seed; pairs "
        f"of different features {', '.join(chance)}. Rank correlation of decoder cosine with it: {cosines}."
    )


def note(page: Settings, known: pd.DataFrame, seeds: list[int]) -> str:
    """The foot of the page."""
    prompts = "/".join(str(int(n)) for n in sorted(known["prompts"].unique()))
    return (
        f"{wording.count(seeds)}, a mark per latent. Main dictionary; alive latents with a norm ratio between "
        f".3 and .7, most frequent first on task text. Each is ablated, h - f(h) d, in {page.roles.reference} and in "
        f"{page.target}, both forced on the answers of {page.target} to {prompts} test prompts of the selection tasks: "
        "KL of the ablated model from itself."
    )


def _chance(ax: Axes, known: pd.DataFrame) -> None:
    """Where pairs of different latents lie: medians over latents."""
    ax.axhspan(known["chance_lo"].median(), known["chance_hi"].median(), color=style.PALE, alpha=0.6, lw=0, zorder=0)
    ax.axhline(known["chance"].median(), color=style.GREY, lw=1, zorder=0)
    ax.axhline(0, color="black", lw=0.6)
    ax.grid(True)


def _sizes(ax: Axes, page: Settings, known: pd.DataFrame) -> None:
    """Mean KL in either model, on logarithmic axes with the line of equal ones."""
    sizes = known[["kl_reference", "kl_tuned"]].clip(lower=1e-9).to_numpy()
    ends = [sizes.min() * 0.8, sizes.max() * 1.25]
    ax.plot(ends, ends, color="black", lw=0.6, zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(f"KL of {page.roles.reference} from itself without it, nats")
    ax.set_ylabel(f"the same of {page.target}")
    ax.set_title("As much?", loc="left", fontweight="bold")
    ax.grid(True)

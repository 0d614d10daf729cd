"""Fourth page of figure 9: maps of the whole stream without a dictionary, and what the set is in them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import style, wording
from rlgen.figures.page import OWN_DOSE, SHIFT_IN_DOMAIN, seeds_of
from rlgen.figures.rivals import NAMES
from rlgen.figures.variants import Settings, own_rows

COLUMNS = ["seed", "map", "quantity", "part", "role", "dose", "value", "lo", "hi", "chance", "chance_lo", "chance_hi"]
PARTS = {"whole": "the whole map", "on": "in the set's span", "without": "outside it", "random": "in random spans"}
ROLES = {"selection": "selection tasks", "unseen": "unseen tasks", "in_domain": "in-domain tasks"}


def page_of(page: Settings, maps: pd.DataFrame, variants: pd.DataFrame) -> Figure | None:
    """The page, where a study asks for it; `variants` hold what the set and the mean shift do."""
    if maps.empty:
        return None
    seeds, kinds = seeds_of(maps), list(dict.fromkeys(maps["map"]))
    rows = [(kind, part) for kind in kinds for part in PARTS]
    figure, body = style.new_page(11.7, 0.3 * len(rows) + 2.6)
    axes = body.subplots(1, 4, sharey=False, squeeze=False, width_ratios=[0.8, 0.8, 1.1, 1.1])[0]
    _shares(axes[0], maps[maps["quantity"] == "explained"], kinds, seeds)
    _pointing(axes[1], maps[maps["quantity"].isin(["direction", "within"])], kinds, seeds)
    for ax, role in zip(axes[2:], ("selection", "unseen"), strict=True):
        _effects(ax, page, maps, variants, rows, role, seeds)
    axes[3].set_yticklabels([])
    handles = [*style.seed_handles(seeds), style.stroke(style.PALE, "the main set (band)")]
    handles += [style.dot(style.SHIFT_COLOUR, NAMES[SHIFT_IN_DOMAIN], marker="d")]
    handles += [style.stroke(style.GREY, "random sets, 95 %")]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    style.head_and_foot(figure, answer(page, maps), finding(page, maps, variants), page, note(page, seeds))
    return figure


def mean_effect(maps: pd.DataFrame, kind: str, part: str, role: str = "selection") -> float:
    """Change of accuracy in the reference, mean over seeds; NaN where there is none."""
    rows = maps[(maps["quantity"] == "effect") & (maps["map"] == kind) & (maps["part"] == part)]
    return float(rows.loc[rows["role"] == role, "value"].mean())


def best(maps: pd.DataFrame) -> str:
    """The map whose whole does most on the selection tasks."""
    does = {kind: mean_effect(maps, kind, "whole") for kind in dict.fromkeys(maps["map"])}
    return max(does, key=lambda kind: np.nan_to_num(does[kind], nan=-np.inf))


def answer(page: Settings, maps: pd.DataFrame) -> str:
    """What the best map does, and which part of it the set's span holds, in words."""
    kind = best(maps)
    whole, on, without, random = (wording.change(mean_effect(maps, kind, part)) for part in PARTS)
    says = f"A map of {page.roles.reference}'s stream ({kind}), without a dictionary, adds {whole}"
    return (
        f"{says} on the selection tasks: {on} in the set's span alone, {without} outside it, {random} in random spans"
    )


def finding(page: Settings, maps: pd.DataFrame, variants: pd.DataFrame) -> str:
    """What every map explains and does, beside the main set."""
    words = []
    for kind in dict.fromkeys(maps["map"]):
        rows = maps[(maps["map"] == kind) & (maps["quantity"] == "explained")]
        shares = [wording.share(rows.loc[rows["role"] == role, "value"].mean()) for role in ("stream", "selection")]
        effect = wording.change(mean_effect(maps, kind, "whole"))
        words.append(f"{kind}: explains {shares[0]} of the shift's variance ({shares[1]} on task text), adds {effect}")
    ours = of_main(page, variants, "selection")
    main = f" The main set adds {wording.change(ours['value'].mean())}." if len(ours) else ""
    return f"{'; '.join(words)} (means over seeds).{main}"


def of_main(page: Settings, variants: pd.DataFrame, role: str) -> pd.DataFrame:
    """Effects of the main set, or its rivals, in the reference."""
    rows = variants[(variants["variant"] == page.main) & (variants["quantity"] == "effect")]
    rows = rows[(rows["state"] == page.roles.reference) & (rows["metric"] == "accuracy") & (rows["form"] == OWN_DOSE)]
    return own_rows(rows[rows["role"] == role])


def note(page: Settings, seeds: list[int]) -> str:
    """The foot of the page."""
    return (
        f"{wording.count(seeds)}, each a mark; means over tasks, paired 95 % bootstrap intervals over test prompts. "
        "Maps are fitted on the token stream and judged on held-out rows. "
        f"{page.roles.reference} is edited by h + dose D(h) P; every part has its own dose from the discovery half. "
        "P: onto the span of the set's exchange directions, off it, or onto spans of random sets of as many latents."
    )


def _shares(ax: Axes, rows: pd.DataFrame, kinds: Sequence[str], seeds: list[int]) -> None:
    """Variance explained, on the stream and on task text."""
    for r in rows.itertuples():
        at = kinds.index(r.map) + style.lane(int(r.seed), seeds, 0.3)
        task = r.role == "selection"
        look = {"color": style.BLUE, "mfc": "white" if task else style.BLUE, "ms": 4.6}
        ax.plot(r.value, at, style.seed_marker(int(r.seed), seeds), **look)
    _frame(ax, kinds, "share of the shift's variance\n(hollow: task text)", "Does it fit?")


def _pointing(ax: Axes, rows: pd.DataFrame, kinds: Sequence[str], seeds: list[int]) -> None:
    """Cosine with the set's mean change, above; share inside its span, below, hollow: beside random sets."""
    for r in rows.itertuples():
        hollow = r.quantity == "within"
        at = kinds.index(r.map) + (0.2 if hollow else -0.2) + style.lane(int(r.seed), seeds, 0.25)
        ax.plot([r.chance_lo, r.chance_hi], [at, at], color=style.GREY, lw=2.6, alpha=0.45, solid_capstyle="butt")
        look = {"color": style.BLUE, "mfc": "white" if hollow else style.BLUE, "ms": 4.6}
        ax.plot(r.value, at, style.seed_marker(int(r.seed), seeds), **look)
    _frame(ax, kinds, "cosine with the set's change;\nhollow: share in its span", "The set's direction?")
    if rows.empty:
        style.say(ax, "no set")


def _effects(
    ax: Axes,
    page: Settings,
    maps: pd.DataFrame,
    variants: pd.DataFrame,
    rows: list[tuple[str, str]],
    role: str,
    seeds: list[int],
) -> None:
    """Every part of every map, beside the main set's range and the mean shift."""
    ours = of_main(page, variants, role)["value"].dropna()
    if len(ours):
        ax.axvspan(ours.min(), max(ours.max(), ours.min() + 1e-3), color=style.PALE, alpha=0.6, lw=0, zorder=0)
    shift = variants[(variants["variant"] == page.main) & (variants["rival"] == SHIFT_IN_DOMAIN)]
    shift = shift[(shift["quantity"] == "effect") & (shift["role"] == role) & (shift["form"] == OWN_DOSE)]
    shift = shift[(shift["state"] == page.roles.reference) & (shift["metric"] == "accuracy")]
    ax.plot(shift["value"], [-0.6] * len(shift), "d", color=style.SHIFT_COLOUR, mec="#555555", mew=0.6, ms=4)
    for r in maps[(maps["quantity"] == "effect") & (maps["role"] == role)].itertuples():
        at = rows.index((r.map, r.part)) + style.lane(int(r.seed), seeds, 0.5)
        colour = style.GREY if r.part == "random" else style.BLUE
        ax.plot([r.lo, r.hi], [at, at], color=colour, lw=0.9)
        ax.plot(r.value, at, style.seed_marker(int(r.seed), seeds), color=colour, ms=4.2)
    names = [f"{kind}: {PARTS[part]}" for kind, part in rows]
    _frame(ax, names, f"change of accuracy,\n{ROLES[role]}", f"Added to {page.roles.reference}")


def _frame(ax: Axes, names: Sequence[str], label: str, title: str) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.9)
    ax.axvline(0, color="black", lw=0.6)
    ax.set_xlabel(label)
    ax.set_title(title, loc="left", fontweight="bold")
    ax.grid(True, axis="x")
    ax.tick_params(axis="y", length=0)

"""The page behind figure 8: every procedure against the planted cause, carried shares, steering by the cause itself."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import effects, style, wording
from rlgen.figures.page import Settings, prompts, seeds_of

ROLE = "selection"
QUANTITIES = {
    "cosine": "cosine with the planted direction",
    "carried_share": "share of the post-training\nshift that the set carries",
}


def appendix(page: Settings, recovery: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Above: recovery per method and seed. Below: steering by the truth, and effect against alignment."""
    figure, body = style.new_page(11.7, 8.2)
    rows, seeds = effects.reported(table), seeds_of(recovery)
    top, bottom = body.subfigures(2, 1, height_ratios=[1, 1.1])
    methods = list(dict.fromkeys([*page.procedures, *recovery["procedure"]]))
    axes = top.subplots(1, len(QUANTITIES) + 1, width_ratios=[1.3, 1, 1])
    for ax, (quantity, label) in zip(axes, QUANTITIES.items(), strict=False):
        quantity_rows(ax, page, recovery, quantity, methods, seeds, _colour)
        ax.set_xlabel(label)
    axes[0].set_title("Does the exchange point along the truth?", loc="left", fontweight="bold")
    axes[1].set_title("Does it carry the shift?", loc="left", fontweight="bold")
    axes[1].set_yticklabels([])
    _effect_by_share(axes[2], page, table, recovery, seeds)
    states = [s for s in (page.roles.reference, page.roles.target) if s in page.states]
    lower = bottom.subplots(1, len(states) + 1)
    for ax, state in zip(lower, states, strict=False):
        _steering(ax, page, rows, state, seeds)
    _effect_by_alignment(lower[-1], page, rows, recovery, seeds)
    handles = [*style.seed_handles(seeds), style.stroke(style.TRUTH_COLOUR, "steering by the truth")]
    handles += [style.stroke(style.TRUTH_COLOUR, "header in the prompt", "--")]
    handles += [style.dot(_colour(page, m), m, marker="D") for m in page.procedures]
    handles += [style.dot(style.SHIFT_COLOUR, "mean shifts", marker="D")]
    bottom.legend(handles=handles, loc="outside lower center", ncols=(len(handles) + 1) // 2)
    style.head_and_foot(
        figure,
        "Every procedure against the planted cause: what it carries, and what steering by the cause does",
        _finding(page, recovery, methods),
        page,
        f"{note(rows, seeds)}; P: share of them that reach the value. Truth: stream of the same texts under a careful "
        "minus under a careless header, times the dose. Dashed: the header itself in the prompt. Methods at their own "
        "dose.",
    )
    return figure


def note(rows: pd.DataFrame, seeds: list[int]) -> str:
    return (
        f"{wording.count(seeds)}, each a mark; {prompts(rows, ROLE)} test prompts per seed for effects. Bars: 95 % "
        "bootstrap intervals within a seed. Grey: 95 % of random sets of as many alive latents (shifts: of random "
        "directions)"
    )


def _colour(page: Settings, method: str) -> str:
    if method in page.procedures:
        return style.procedure_colour(page, method)
    return effects.RIVALS[method][1] if method in effects.RIVALS else style.GREY


def label(method: str) -> str:
    return effects.RIVALS[method][0] if method in effects.RIVALS else method


def mark(ax: Axes, x: float, y: float, colour: str, marker: str) -> None:
    ax.plot(x, y, marker, color=colour, mec="#555555" if colour == style.YELLOW else colour, ms=6, mew=0.7)


def quantity_rows(
    ax: Axes,
    page: Settings,
    recovery: pd.DataFrame,
    quantity: str,
    methods: list[str],
    seeds: list[int],
    colour_of: Callable[[Settings, str], str],
    chances: bool = True,
) -> None:
    """One row per method, one lane per seed, with interval and the range of chance; with `chances` every seed's P."""
    cells = recovery[(recovery["quantity"] == quantity) & (recovery["task"] == "ALL")]
    for y, method in enumerate(methods):
        own = cells[cells["procedure"] == method]
        if own["value"].dropna().empty:
            style.beside(ax, 0.02, y, "no set" if method in page.procedures else "–", fontsize=8.5, style="italic")
        for r in own.itertuples():
            at = y + style.lane(r.seed, seeds, 0.5)
            ax.plot([r.chance_lo, r.chance_hi], [at, at], color=style.PALE, lw=6, solid_capstyle="butt", zorder=0)
            ax.plot([r.chance], [at], "|", color=style.GREY, ms=6, zorder=1)
            ax.plot([r.lo, r.hi], [at, at], color=colour_of(page, method), lw=1.1)
            mark(ax, r.value, at, colour_of(page, method), style.seed_marker(r.seed, seeds))
        if chances and len(own):
            found = " / ".join(_p(p) for p in own.sort_values("seed")["p"])
            style.beside(ax, 1.02, y, f"P {found}", fontsize=8)
    ax.set_yticks(range(len(methods)), [label(m) for m in methods])
    ax.set_ylim(len(methods) - 0.45, -0.55)
    if quantity == "cosine" and len(cells):  # the whole range of chance, and the largest cosine there is
        ax.set_xlim(min(0.0, cells[["value", "lo", "chance_lo"]].min().min()) - 0.05, 1.02)
    ax.axvline(0, color="black", lw=0.6)
    ax.grid(True, axis="x")


def _p(p: float) -> str:
    """.03, .001"""
    return f"{p:.3f}".lstrip("0") if p < 0.01 else wording.share(p)


def _effect_by_share(ax: Axes, page: Settings, table: pd.DataFrame, recovery: pd.DataFrame, seeds: list[int]) -> None:
    """Change of accuracy in the reference against the carried share of a task's own shift, by task and seed."""
    state, keys = page.roles.reference, ["procedure", "seed", "task"]
    kept = (table["state"] == state) & (table["set_kind"] == "selected") & table["chosen"].astype(bool)
    kept &= (table["half"] == "test") & (table["subset"] == "half") & (table["metric"] == "accuracy")
    shares = recovery[(recovery["quantity"] == "carried_share") & (recovery["task"] != "ALL")]
    cells = table[kept].merge(shares[[*keys, "value"]].rename(columns={"value": "share"}), on=keys)
    ax.set_title("More carried, more effect?", loc="left", fontweight="bold")
    if cells.empty:
        style.say(ax, f"no set was amplified in {state}")
        return
    for r in cells.itertuples():
        marker, colour = style.seed_marker(r.seed, seeds), _colour(page, r.procedure)
        ax.plot(r.share, r.change, marker, color=colour, mfc="white" if r.role == "in_domain" else colour, ms=4.5)
    ax.axhline(0, color="black", lw=0.6)
    ax.set_xlabel("share carried of one task's shift\n(hollow: in-domain)")
    ax.set_ylabel(f"change of accuracy in {state}")
    ax.grid(True)


def _steering(ax: Axes, page: Settings, rows: pd.DataFrame, state: str, seeds: list[int]) -> None:
    """Accuracy against the dose of the truth; right of it what each method reaches at its chosen dose."""
    cells = rows[(rows["state"] == state) & (rows["role"] == ROLE)]
    levels = effects.unedited(rows, state, ROLE)
    truth = cells[(cells["procedure"] == effects.STEERING) & (cells["edit"] == "truth")]
    ax.set_title(f"{state}, selection tasks", loc="left", fontweight="bold")
    if truth.empty:
        style.say(ax, f"{state} was not steered by the truth")
        return
    for seed, line in truth.sort_values("dose").groupby("seed"):
        x, y = [0.0, *line["dose"]], [levels.get(seed, np.nan), *line["value"]]
        ax.plot(x, y, color=style.TRUTH_COLOUR, marker=style.seed_marker(seed, seeds), ms=4.5, lw=1.2)
    header = cells[(cells["procedure"] == effects.STEERING) & (cells["edit"] == "header")]
    if len(header):
        ax.axhline(header["value"].mean(), color=style.TRUTH_COLOUR, lw=1.1, ls="--")
    last = truth["dose"].max()
    random = cells[
        (cells["procedure"] == effects.STEERING)
        & (cells["edit"] == effects.RANDOM_DIRECTION)
        & cells["chosen"].astype(bool)
    ]
    if len(random):
        ax.axhspan(random["value"].min(), random["value"].max(), color=style.PALE, lw=0, zorder=0)
    own = cells[(cells["part"] == "main") & (cells["procedure"] != effects.STEERING) & cells["chosen"].astype(bool)]
    places = list(dict.fromkeys(zip(own["procedure"], own["edit"], strict=True)))
    for i, (procedure, edit) in enumerate(places):
        for r in own[(own["procedure"] == procedure) & (own["edit"] == edit)].itertuples():
            at = last * (1.12 + 0.13 * i) + style.lane(r.seed, seeds, 0.06 * last)
            mark(ax, at, r.value, _colour(page, procedure), style.seed_marker(r.seed, seeds))
    ax.axvline(last * 1.04, color=style.GREY, lw=0.8)
    ax.set_ylim(-0.03, 1.05)
    ax.set_xticks([0, *sorted(truth["dose"].unique())])
    ax.set_xticklabels([f"{d:g}" for d in ax.get_xticks()])
    ax.set_xlabel("dose of the truth  |  the methods")
    ax.set_ylabel("accuracy (grey: random directions)")
    ax.grid(True, axis="y")


def _effect_by_alignment(
    ax: Axes, page: Settings, rows: pd.DataFrame, recovery: pd.DataFrame, seeds: list[int]
) -> None:
    """Change of accuracy in the reference against alignment with the truth."""
    state = page.roles.reference
    cells = rows[(rows["state"] == state) & (rows["role"] == ROLE) & rows["chosen"].astype(bool)]
    cosines = recovery[recovery["quantity"] == "cosine"].set_index(["procedure", "seed"])["value"]
    drawn = 0
    for r in cells[cells["part"] == "main"].itertuples():
        method = r.edit if r.procedure == effects.STEERING else r.procedure
        cosine = cosines.get((method, r.seed), np.nan)
        if np.isfinite(cosine):
            mark(ax, cosine, r.change, _colour(page, method), style.seed_marker(r.seed, seeds))
            drawn += 1
    ax.set_title("Better aligned, larger effect?", loc="left", fontweight="bold")
    if not drawn:
        style.say(ax, f"no set was amplified in {state}")
        return
    best = cells[cells["edit"] == "truth"]["change"]
    if len(best):
        ax.axhline(best.mean(), color=style.TRUTH_COLOUR, lw=1.2)
        ax.text(
            0.02,
            best.mean(),
            "the truth itself",
            color=style.TRUTH_COLOUR,
            fontsize=8.5,
            va="bottom",
            transform=ax.get_yaxis_transform(),
        )
    ax.axhline(0, color="black", lw=0.6)
    ax.set_xlim(min(-0.05, ax.get_xlim()[0]), 1)
    ax.set_xlabel("cosine with the planted direction")
    ax.set_ylabel(f"change of accuracy in {state}")
    ax.grid(True)


def _finding(page: Settings, recovery: pd.DataFrame, methods: list[str]) -> str:
    """Cosines per seed, and the share of random sets that reach them, in words."""
    cells = recovery[recovery["quantity"] == "cosine"].sort_values("seed")
    parts = []
    for method in methods:
        own = cells[cells["procedure"] == method].dropna(subset="value")
        if len(own) or method in page.procedures:
            values, chances = (" / ".join(map(f, own[c])) for f, c in ((wording.share, "value"), (_p, "p")))
            chances = f" (P {chances})" if values and method in page.procedures else ""
            parts.append(f"{label(method)} " + (values or "no set") + chances)
    return "Cosine with the planted direction, per seed:  " + ";  ".join(parts)

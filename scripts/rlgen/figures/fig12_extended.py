"""Figure 12: how many features does it take, by which score, and does a task have to be in the choice?

One page per edited model: the reference first, the model that is explained behind it.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import style, wording
from rlgen.figures.page import Page, seeds_of
from rlgen.tables import ROLE_MEAN
from rlgen.tasks.settings import TaskRoles

CURVES = ["seed", "state", "role", "score", "size", "latents", "n", "effect", "lo", "hi", "gap"]
AREAS = ["seed", "state", "role", "score", "difference", "difference_lo", "difference_hi"]
ROTATION = ["seed", "state", "task", "n", "effect_in", "effect_out", "difference", "lo", "hi"]
ALIVE = "alive"
ENOUGH = 0.8  # the share of the gap that a set should close
SCORES = ("contribution", "attribution", "activation", "size")
COLOURS = dict(zip(SCORES, (*style.PROCEDURE_COLOURS[::2], style.PROCEDURE_COLOURS[3], style.GREY), strict=True))
ROLES = {"selection": "selection tasks", "unseen": "unseen tasks"}


class Settings(Page):
    """What the page knows of its study."""

    tasks: TaskRoles
    procedure: str
    score: str  # the procedure's own
    target: str  # the model that is explained
    left_out: int


def draw(page: Settings, curves: pd.DataFrame, areas: pd.DataFrame, rotation: pd.DataFrame) -> Figure:
    """The reference, edited towards the model that is explained."""
    return _page(page, page.roles.reference, curves, areas, rotation)


def appendix(page: Settings, curves: pd.DataFrame, areas: pd.DataFrame, rotation: pd.DataFrame) -> Figure:
    """The explained model, edited towards the reference."""
    return _page(page, page.target, curves, areas, rotation)


def _page(page: Settings, state: str, *tables: pd.DataFrame) -> Figure:
    curves, areas, rotation = (table[table["state"] == state] for table in tables)
    roles = [role for role in ROLES if (curves["role"] == role).any()]
    figure, body = style.new_page(11.7, 5.6)
    axes = body.subplots(1, len(ROLES) + 1, width_ratios=[1, 1, 0.9])
    axes[1].sharey(axes[0])
    for ax, role in zip(axes, ROLES, strict=False):
        if role in roles:
            _curves(ax, page, role, curves[curves["role"] == role])
        else:
            style.say(ax, f"{state} was not edited on {ROLES[role]}")
    _rotation(axes[-1], page, rotation)
    by_attribution = colour_of(page, "attribution")
    handles = [*axes[0].get_legend_handles_labels()[0], style.dot(by_attribution, "the task helped to choose")]
    handles.append(style.dot(by_attribution, "it did not", hollow=True))
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    verb, sign = ("Amplified in", 1) if state == page.roles.reference else ("Taken out of", -1)
    answer = f"{verb} {state}: {_enough(page, curves)}; {_rotated(rotation)}"
    style.head_and_foot(figure, answer, _finding(page, areas, sign), page, _note(page, curves))
    return figure


def shares(curves: pd.DataFrame) -> pd.DataFrame:
    """Share of the gap to the other model that each set closes: mean over seeds, by score and size."""
    closed = curves.assign(share=curves["effect"] / curves["gap"].where(curves["gap"].abs() > 0))
    return closed.groupby(["score", "size"])["share"].mean().reset_index()


def colour_of(page: Settings, score: str) -> str:
    """The one colour of a score: its sets', or where it is the procedure's own, that of the procedure's set."""
    return style.SET_COLOUR if score == page.score else COLOURS.get(score, style.BLACK)


def _curves(ax: Axes, page: Settings, role: str, curves: pd.DataFrame) -> None:
    """A line per score, mean over seeds; seeds of the procedure's own score as thin lines; all alive latents a line."""
    closed, seeds = shares(curves), seeds_of(curves)
    own = curves[curves["score"] == page.score]
    for seed in seeds:
        some = own[own["seed"] == seed].sort_values("size")
        ax.plot(some["size"], some["effect"] / some["gap"], color=style.SET_COLOUR, lw=0.7, alpha=0.6)
    for score, some in closed[closed["score"] != ALIVE].groupby("score"):
        is_own = score == page.score
        look = {"color": colour_of(page, score), "label": score}
        ax.plot(some["size"], some["share"], "-o", ms=4, **look, lw=2.2 if is_own else 1.3)
    ax.axhline(closed[closed["score"] == ALIVE]["share"].mean(), color="black", lw=1, ls=":", label="all alive")
    ax.axhline(ENOUGH, color=style.PALE, lw=3, zorder=0)
    ax.axhline(0, color="black", lw=0.6)
    ax.set_xscale("log", base=2)
    sizes = sorted(closed[closed["score"] != ALIVE]["size"].unique())
    ax.set_xticks(sizes, [f"{size:d}" for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("features in the set")
    ax.set_title(ROLES[role], loc="left", fontweight="bold")
    ax.set_ylabel("share of the gap to the other model")


def _rotation(ax: Axes, page: Settings, rotation: pd.DataFrame) -> None:
    """A dumbbell per task: sets by attribution that it had a say in, sets that it had none in."""
    tasks = [task for task in (*page.tasks.selection, *page.tasks.unseen) if (rotation["task"] == task).any()]
    if not tasks:
        style.say(ax, "no set was rotated")
        return
    means = rotation.groupby("task")[["effect_in", "effect_out"]].mean()
    seeds, colour = seeds_of(rotation), colour_of(page, "attribution")
    for y, task in enumerate([*tasks, ROLE_MEAN]):
        ax.plot(means.loc[task], [y, y], color=style.GREY, lw=2, zorder=1)
        for row in rotation[rotation["task"] == task].itertuples():
            marker, at = style.seed_marker(row.seed, seeds), y + style.lane(row.seed, seeds, 0.4)
            ax.plot(row.effect_in, at, marker, color=colour, ms=3.2, alpha=0.7)
            ax.plot(row.effect_out, at, marker, color=colour, mfc="white", ms=3.2, alpha=0.7)
        ax.plot(means.loc[task, "effect_in"], y, "o", color=colour, ms=7.5)
        ax.plot(means.loc[task, "effect_out"], y, "o", color=colour, mfc="white", ms=7.5, mew=1.5)
    ax.set_yticks(range(len(tasks) + 1), [*tasks, "mean"])
    ax.invert_yaxis()
    ax.axvline(0, color="black", lw=0.6)
    ax.grid(axis="x", color=style.PALE, lw=0.6)
    ax.set_xlabel("change of accuracy")
    ax.set_title("did the task help to choose?", loc="left", fontweight="bold")


def _enough(page: Settings, curves: pd.DataFrame) -> str:
    """The smallest set by the procedure's own score that covers enough of the gap on the selection tasks."""
    closed = shares(curves[curves["role"] == "selection"])
    own = closed[closed["score"] == page.score].sort_values("size")
    if own.empty:
        return "no set was run"
    reached = own[own["share"] >= ENOUGH]
    if reached.empty:
        best = own.loc[own["share"].idxmax()]
        at = f"{best['share']:.0%} at {best['size']:.0f} features"
        return f"no set by {page.score} closes {ENOUGH:.0%} of the gap on selection tasks ({at})"
    size = reached["size"].iloc[0]
    unseen = shares(curves[(curves["role"] == "unseen") & (curves["size"] == size)])
    unseen = unseen[unseen["score"] == page.score]["share"]
    there = f", {unseen.iloc[0]:.0%} on unseen ones" if len(unseen) else ""
    return f"{size:.0f} features close {ENOUGH:.0%} of the gap on selection tasks{there}"


def _rotated(rotation: pd.DataFrame) -> str:
    """Whether a task needs a say in the set."""
    whole = rotation[rotation["task"] == ROLE_MEAN]
    if whole.empty:
        return "nothing was rotated"
    had, had_none = (wording.change(whole[name].mean()) for name in ("effect_in", "effect_out"))
    apart = int(((whole["lo"] > 0) | (whole["hi"] < 0)).sum())
    seeds = f"apart in {apart} of {wording.count(seeds_of(whole))}"
    return f"a task moves by {had} if it helped to choose the set, by {had_none} if not ({seeds})"


def _finding(page: Settings, areas: pd.DataFrame, sign: int) -> str:
    """The procedure's own score beside the others: areas under the curves, paired; `sign`: where edits are to lead."""
    parts = []
    areas = areas.dropna(subset="difference")  # seeds in which the own score has no set
    for score, some in areas[(areas["role"] == "selection") & (areas["score"] != page.score)].groupby("score"):
        below, above = (some["difference_hi"] < 0).sum(), (some["difference_lo"] > 0).sum()
        ahead, behind = (below, above) if sign > 0 else (above, below)
        told = f"{ahead} ahead, {behind} behind of {wording.count(seeds_of(some))}"
        parts.append(f"{score} {wording.change(-some['difference'].mean())} ({told})")
    return f"Area under the curve of {page.score}, selection tasks, minus that of {'; '.join(parts)}." if parts else ""


def _note(page: Settings, curves: pd.DataFrame) -> str:
    """The foot of the page."""
    n = f"{curves['n'].min():.0f} test prompts or more per role" if len(curves) else "no prompts"
    left_out = f"{page.left_out} task{'s' * (page.left_out != 1)}"
    return (
        f"Procedure {page.procedure}, {wording.count(seeds_of(curves))}, {n}. Every set at its own dose, chosen on "
        "discovery prompts of the tasks that chose it. Thick: mean over seeds; thin: seeds of the procedure's own "
        f"score; dotted: all alive latents; band: {ENOUGH:.0%}. Right: sets by attribution, every {left_out} "
        "out of domain left out in turn; small marks are seeds. Differences are paired over prompts, 95 %."
    )

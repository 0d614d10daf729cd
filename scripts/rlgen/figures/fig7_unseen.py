"""Figure 7: do the edits reach tasks that chose nothing, and what do they cost on the trained task?

The first page is the answer, a dumbbell per seed; the second holds every edit, control and dose.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import effects, published, rivals, style
from rlgen.figures.effects import COLUMNS
from rlgen.figures.page import Settings, seeds_of

__all__ = ["COLUMNS", "COMPARISON_COLUMNS", "CONTROL_COLUMNS", "Settings", "appendix", "draw"]
COMPARISON_COLUMNS, CONTROL_COLUMNS = rivals.COLUMNS, rivals.CONTROL_COLUMNS
STRIP = 2.4  # height of the strip of published effects, inches
SHIFT = rivals.IN_DOMAIN
SET = {"marker": "o", "color": style.SET_COLOUR, "ms": 8, "label": "the set"}
OTHERS = {
    SHIFT: {"marker": "D", "mfc": "white", "ms": 7, "mew": 1.4, "label": rivals.NAMES[SHIFT]},
    "random": {"marker": ".", "ms": 9, "label": "random sets, their mean"},
}


def draw(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    """Left: the reference amplified, unseen tasks; right: the target disabled, trained tasks. A row per seed."""
    rows = effects.reported(table)
    seeds, base, target = seeds_of(rows), page.roles.reference, page.roles.target
    names = [n for n in page.procedures if any(page.procedures[n].edits.get(s) for s in (base, target))]
    names.sort(key=lambda name: name != page.leading)
    lines = sum(len(seeds) + 1.6 for _ in names)
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 1.3 + 0.25 * max(lines, 4))
    reach, cost = body.subplots(1, 2)
    gap = rivals.gaps(page, rows, "unseen")
    _dumbbells(reach, page, names, comparisons, controls, (base, "unseen"), seeds)
    _dumbbells(cost, page, names, comparisons, controls, (target, "in_domain"), seeds)
    reach.set_title(f"Unseen tasks, amplified in {base}: gain", loc="left", fontweight="bold")
    cost.set_title(f"Trained tasks, disabled in {target}: cost", loc="left", fontweight="bold")
    reach.set_xlabel("change of accuracy" + (f" (gap to {target}: {style.share(gap.mean())})" if len(gap) else ""))
    cost.set_xlabel("change of accuracy (0: unharmed)")
    handles = [reach.plot([], [], ls="", **{"color": style.RIVAL_COLOUR} | k)[0] for k in (SET, *OTHERS.values())]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    counts = "/".join(str(int(n)) for n in sorted(rows.loc[rows["role"] == "unseen", "n"].unique())) or "0"
    style.head_and_foot(figure, answer(page, comparisons), _numbers(page, comparisons), page,
                        NOTE.format(seeds=style.count(seeds), n=counts))  # fmt: skip
    return figure


NOTE = (
    "{seeds}, a row each; {n} test prompts of unseen tasks per seed. Sets and rivals at their own dose, chosen on the "
    "discovery half of the selection tasks. Bars: paired 95 % bootstrap interval of set minus shift, drawn from the "
    "shift. Every edit, control and dose: second page of the PDF."
)


def _dumbbells(ax: Axes, page: Settings, names: list[str], comparisons: pd.DataFrame, controls: pd.DataFrame,
               where: tuple[str, str], seeds: list[int]) -> None:  # fmt: skip
    """One row per procedure and seed: random sets, the in-domain mean shift and the set on one line."""
    state, role = where
    y, across = 0.0, ax.get_yaxis_transform()
    for name in names:
        ax.text(-0.02, y, name, fontweight="bold", ha="right", va="center", transform=across)
        why = rivals.refusals(controls, name, state)
        cells = rivals.fair(page, comparisons, name, state, role)
        for i, seed in enumerate(seeds):
            at, own = y + 1 + i, cells[cells["seed"] == seed].set_index("rival")
            ax.text(-0.02, at, f"seed {seed}", va="center", ha="right", transform=across)
            if own.empty:
                said = why.get(seed, "no set") if page.procedures[name].edits.get(state) else f"does not edit {state}"
                ax.text(0.02, at, said, va="center", style="italic", transform=across)
                continue
            _row(ax, own, at)
        y += len(seeds) + 1.6
    ax.set_ylim(max(y - 0.4, 1), -0.7)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color="black", lw=0.8, zorder=0)
    ax.grid(axis="x", color=style.PALE, lw=0.6)
    if not names:
        style.say(ax, f"no procedure edits {state}")


def _row(ax: Axes, own: pd.DataFrame, y: float) -> None:
    """One seed; `own`: rows by rival."""
    value = own["set_change"].iloc[0]
    others = {rival: own.loc[rival, "rival_change"] for rival in OTHERS if rival in own.index}
    ends = [value, *others.values()]
    ax.plot([min(ends), max(ends)], [y, y], color=style.PALE, lw=2.5, zorder=1)
    if SHIFT in own.index:
        bounds = own.loc[SHIFT, ["lo", "hi"]] + others[SHIFT]
        ax.plot(bounds, [y, y], color=style.SET_COLOUR, lw=1.2, zorder=2)
    for rival, at in others.items():
        ax.plot(at, y, ls="", zorder=3, color=style.RIVAL_COLOUR, **OTHERS[rival])
    ax.plot(value, y, ls="", zorder=4, **SET)


def answer(page: Settings, comparisons: pd.DataFrame) -> str:
    """The title: the leading set on unseen tasks beside the in-domain mean shift."""
    base, name = page.roles.reference, page.leading
    if name is None:
        return "No procedure is listed"
    cells = rivals.fair(page, comparisons, name, base, "unseen")
    if cells.empty:
        return f"{name} has no set to amplify in {base}"
    own = cells.drop_duplicates("seed")["set_change"].mean()
    reached = f"On tasks that chose nothing the set gains {style.change(own)}"
    other = cells[cells["rival"] == SHIFT]
    if other.empty:
        return f"{reached}; the in-domain mean shift was not tried"
    n, ahead, behind = len(other), int((other["lo"] > 0).sum()), int((other["hi"] < 0).sum())
    beside = f"the in-domain mean shift {style.change(other['rival_change'].mean())}"
    if ahead == n:
        verdict = "the set reaches further" + (f" in each of {n} seeds" if n > 1 else "")
    elif behind == n:
        verdict = "subtraction reaches further" + (f" in each of {n} seeds" if n > 1 else "")
    elif ahead + behind:
        verdict = f"the set reaches further in {ahead or 'none'} of {n} seeds, subtraction in {behind or 'none'}"
    else:
        verdict = "neither is told to reach further"
    return f"{reached}, {beside}: {verdict}"


def _numbers(page: Settings, comparisons: pd.DataFrame) -> str:
    """Per seed, with intervals: set minus shift on unseen tasks, and what disabling costs the trained tasks."""
    if page.leading is None:
        return "Nothing was edited."
    parts = []
    cells = rivals.fair(page, comparisons, page.leading, page.roles.reference, "unseen")
    for r in cells[cells["rival"] == SHIFT].sort_values("seed").itertuples():
        parts.append(f"{style.change(r.difference)} [{style.change(r.lo)}, {style.change(r.hi)}]")
    text = f"{page.leading}: set minus in-domain shift, per seed {', '.join(parts)}. " if parts else ""
    cells = rivals.fair(page, comparisons, page.leading, page.roles.target, "in_domain")
    own, other = cells.drop_duplicates("seed")["set_change"], cells.loc[cells["rival"] == SHIFT, "rival_change"]
    if len(own):
        text += f"Disabled in {page.roles.target} the set costs the trained tasks {style.change(own.mean())}"
        text += f", the shift {style.change(other.mean())}." if len(other) else "."
    return text or "Nothing was edited."


def appendix(page: Settings, table: pd.DataFrame) -> Figure:
    """One row of panels per edited state: unseen tasks, in-domain tasks, dose curve on the unseen tasks."""
    rows = effects.reported(table)
    seeds = seeds_of(rows)
    counts = [max(3, len(effects.lines_of(page, rows, state))) for state in page.states]
    height = 2.3 + 0.34 * sum(counts) + 0.55 * len(counts)
    figure, whole = style.new_page(11.7, height + STRIP * (page.published is not None))
    body = whole
    if page.published:
        body, strip = whole.subfigures(2, 1, height_ratios=[height, STRIP])
        published.strip(strip, page, table, page.tasks)
    grid = body.subplots(len(page.states), 3, squeeze=False, width_ratios=[1, 1, 0.9], height_ratios=counts)
    for axes, state in zip(grid, page.states, strict=True):
        effects.forest(axes[0], page, rows, state, "unseen", seeds)
        axes[0].set_title(f"Unseen tasks, {state} edited", loc="left", fontweight="bold")
        effects.forest(axes[1], page, rows, state, "in_domain", seeds)
        axes[1].set_yticklabels([])
        axes[1].set_title(f"In-domain, {state} edited", loc="left", fontweight="bold")
        effects.dose_curve(axes[2], page, rows, state, "unseen", seeds)
        axes[2].set_title(f"Unseen tasks, {state} by dose", loc="left")
    grid[-1, 0].set_xlabel("accuracy, unseen tasks")
    grid[-1, 1].set_xlabel("accuracy, in-domain (collateral)")
    grid[-1, 2].set_xlabel("dose")
    entries = effects.handles(page, seeds)
    if page.published:
        entries.append(published.handle(page))
    body.legend(handles=entries, loc="outside lower center", ncols=(len(entries) + 2) // 3)
    style.head_and_foot(
        figure,
        "Every edit and control on unseen and trained tasks, by model and dose",
        "Unseen tasks. " + effects.finding(page, rows, "unseen"),
        page,
        effects.note(rows, "unseen", seeds),
    )
    return figure

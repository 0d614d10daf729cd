"""Figure 7: do the edits reach tasks that chose nothing, and what do they cost on the trained task?

The first page is the answer, a dumbbell per seed of the leading procedure; then every procedure; then every edit,
control and dose.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import details, effects, rivals, style, wording
from rlgen.figures.details import Panel
from rlgen.figures.page import SHIFT_IN_DOMAIN, Settings, prompts, seeds_of

__all__ = ["Settings", "appendix", "draw", "every"]
SET = {"marker": "o", "color": style.SET_COLOUR, "ms": 8, "label": "the set"}
OTHERS = {
    SHIFT_IN_DOMAIN: {"marker": "D", "mfc": "white", "ms": 7, "mew": 1.4, "label": rivals.NAMES[SHIFT_IN_DOMAIN]},
    "random": {"marker": ".", "ms": 9, "label": "random sets, their mean"},
}


def draw(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    """Left: the reference amplified, unseen tasks; right: the target disabled, trained tasks. A row per seed."""
    return _page(page, table, comparisons, controls, rivals.first(page, [page.roles.reference, page.roles.target]))


def every(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    """The same for every procedure."""
    return _page(page, table, comparisons, controls, rivals.edited(page, [page.roles.reference, page.roles.target]))


def _page(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame,
          names: list[str]) -> Figure:  # fmt: skip
    rows = effects.reported(table)
    seeds, base, target = seeds_of(rows), page.roles.reference, page.roles.target
    lines = sum(len(seeds) + 1.6 for _ in names)
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 1.3 + 0.25 * max(lines, 4))
    reach, cost = body.subplots(1, 2)
    gap = rivals.gaps(page, rows, "unseen")
    _dumbbells(reach, page, names, comparisons, controls, (base, "unseen"), seeds)
    _dumbbells(cost, page, names, comparisons, controls, (target, "in_domain"), seeds)
    reach.set_title(f"Unseen tasks, amplified in {base}: gain", loc="left", fontweight="bold")
    cost.set_title(f"Trained tasks, disabled in {target}: cost", loc="left", fontweight="bold")
    reach.set_xlabel("change of accuracy" + (f" (gap to {target}: {wording.share(gap.mean())})" if len(gap) else ""))
    cost.set_xlabel("change of accuracy (0: unharmed)")
    handles = [reach.plot([], [], ls="", **{"color": style.RIVAL_COLOUR} | k)[0] for k in (SET, *OTHERS.values())]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    note = NOTE.format(seeds=wording.count(seeds), n=prompts(rows, "unseen")) + BARS * (len(names) > 1)
    style.head_and_foot(figure, answer(page, comparisons), _numbers(page, comparisons), page, note)
    return figure


NOTE = (
    "{seeds}, a row each; {n} test prompts of unseen tasks per seed. Sets and rivals at their own dose, chosen on the "
    "discovery half of the selection tasks. Above, in brackets: paired 95 % bootstrap intervals over prompts. Every "
    "procedure, edit and dose: further pages of the PDF."
)
BARS = (
    " Bar at the set: where it would lie against this shift, by the paired 95 % bootstrap interval of their difference."
)


def _dumbbells(ax: Axes, page: Settings, names: list[str], comparisons: pd.DataFrame, controls: pd.DataFrame,
               where: tuple[str, str], seeds: list[int]) -> None:  # fmt: skip
    """One row per procedure and seed: random sets, the in-domain mean shift and the set on one line."""
    (state, role), y = where, 0.0
    for name in names:
        style.beside(ax, -0.02, y, name, fontweight="bold")
        why = rivals.refusals(controls, name, state)
        cells = rivals.fair(page, comparisons, name, state, role)
        for i, seed in enumerate(seeds):
            at, own = y + 1 + i, cells[cells["seed"] == seed].set_index("rival")
            style.beside(ax, -0.02, at, f"seed {seed}")
            if own.empty:
                said = why.get(seed, "no set") if page.procedures[name].edits.get(state) else f"does not edit {state}"
                style.beside(ax, 0.02, at, said, style="italic", **style.CLEAR)
                continue
            _row(ax, own, at, bars=len(names) > 1)
        y += len(seeds) + 1.6
    style.frame_rows(ax, y - 0.4, 0)
    if not names:
        style.say(ax, f"no procedure edits {state}")


def _row(ax: Axes, own: pd.DataFrame, y: float, bars: bool) -> None:
    """One seed; `own`: rows by rival; `bars`: with the interval of set minus shift."""
    value = own["set_change"].iloc[0]
    others = {rival: own.loc[rival, "rival_change"] for rival in OTHERS if rival in own.index}
    ends = [value, *others.values()]
    ax.plot([min(ends), max(ends)], [y, y], color=style.PALE, lw=2.5, zorder=1)
    if bars and SHIFT_IN_DOMAIN in own.index:
        bounds = own.loc[SHIFT_IN_DOMAIN, ["lo", "hi"]] + others[SHIFT_IN_DOMAIN]
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
    reached = f"On unseen tasks the set gains {wording.change(rivals.changes(cells).mean())}"
    other = cells[cells["rival"] == SHIFT_IN_DOMAIN]
    if other.empty:
        return f"{reached}; the in-domain mean shift was not tried"
    verdict = rivals.against(page, cells, SHIFT_IN_DOMAIN, base)
    said = f"{reached}, {verdict} the in-domain mean shift ({wording.change(other['rival_change'].mean())})"
    cost = rivals.fair(page, comparisons, name, page.roles.target, "in_domain")
    lost = [rivals.changes(cost, of).mean() for of in (None, SHIFT_IN_DOMAIN)] if len(cost) else []
    if not lost:
        return said
    return (
        f"{said}; taken out, it costs the trained task {wording.change(lost[0])}, the shift {wording.change(lost[1])}"
    )


def _numbers(page: Settings, comparisons: pd.DataFrame) -> str:
    """Per seed, with intervals: set minus shift on unseen tasks, and what disabling costs the trained tasks."""
    if page.leading is None:
        return "Nothing was edited."
    parts = []
    cells = rivals.fair(page, comparisons, page.leading, page.roles.reference, "unseen")
    for r in cells[cells["rival"] == SHIFT_IN_DOMAIN].sort_values("seed").itertuples():
        parts.append(f"{wording.change(r.difference)} [{wording.change(r.lo)}, {wording.change(r.hi)}]")
    text = f"{page.leading}: set minus in-domain shift on unseen tasks, per seed {', '.join(parts)}. " if parts else ""
    return text or "Nothing was edited."


def appendix(page: Settings, table: pd.DataFrame) -> Figure:
    """Every edit at its chosen dose on unseen and trained tasks, and the dose curves on the unseen ones."""
    panels = [
        Panel(effects.forest, "unseen", 1, "Unseen tasks, {state} edited", "accuracy, unseen tasks"),
        Panel(effects.forest, "in_domain", 1, "In-domain, {state} edited", "accuracy, in-domain (collateral)"),
        Panel(effects.dose_curve, "unseen", 0.9, "Unseen tasks, {state} by dose", "dose"),
    ]
    title = "Every edit and control on unseen and trained tasks, by model and dose"
    return details.draw(page, table, panels, title, of="Unseen tasks. ")

"""Figure 6: do the selected features carry generalization? The share of the gap between two models, set against rivals.

The first page is the answer, of the leading procedure; then every procedure; then every edit, control and dose.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import details, effects, rivals, style, wording
from rlgen.figures.details import Panel
from rlgen.figures.page import Settings, prompts, seeds_of

__all__ = ["Settings", "appendix", "draw", "every"]
ROLE = "selection"
ROW = 0.27  # inches


def draw(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    """The answer: left the reference amplified, right the target disabled, by the leading procedure."""
    return _page(page, table, comparisons, controls, rivals.first(page, [page.roles.reference, page.roles.target]))


def every(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    """The same with a block of rows per procedure."""
    return _page(page, table, comparisons, controls, rivals.edited(page, [page.roles.reference, page.roles.target]))


def _page(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame,
          names: list[str]) -> Figure:  # fmt: skip
    rows, sides = effects.reported(table), [page.roles.reference, page.roles.target]
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 1.1 + ROW * 6 * max(1, len(names)))
    gap = rivals.gaps(page, rows, ROLE)
    for ax, state in zip(body.subplots(1, 2), sides, strict=True):
        _side(ax, page, names, comparisons, controls, gap, state)
    seeds = seeds_of(rows)
    body.legend(handles=style.seed_handles(seeds), loc="outside lower center", ncols=max(1, len(seeds)))
    style.head_and_foot(figure, answer(page, comparisons, controls, gap), _numbers(page, comparisons, gap), page,
                        NOTE.format(seeds=wording.count(seeds), n=prompts(rows, ROLE)))  # fmt: skip
    return figure


NOTE = (
    "{seeds}, each a mark, their mean an upright line; {n} test prompts per seed. Every set and rival at its own dose, "
    "chosen on the discovery half. Right of each row: the mean, then seeds in which the set is ahead of this rival : "
    "behind it, by paired 95 % bootstrap intervals over prompts. Every procedure and dose: further pages of the PDF."
)


def _side(ax: Axes, page: Settings, names: list[str], comparisons: pd.DataFrame, controls: pd.DataFrame,
          gap: pd.Series, state: str) -> None:  # fmt: skip
    """One edited model."""
    sign = effects.direction(page, state)
    verb, did = ("Amplified", "closed") if sign > 0 else ("Disabled", "lost again")
    ax.set_title(f"{verb} in {state}: share of the gap {did}", loc="left", fontweight="bold")
    y, other = 0.0, page.roles.target if sign > 0 else page.roles.reference
    for name in names:
        cells = rivals.fair(page, comparisons, name, state, ROLE)
        style.beside(ax, -0.02, y, name, fontweight="bold")
        found = rivals.outcome(page, cells, state)
        why = rivals.refusals(controls, name, state)
        if found is None or gap.empty:
            edited = page.procedures[name].edits.get(state)
            said = "no set: nothing to edit" if edited else f"does not edit {state}"
            said = "; ".join(dict.fromkeys(why.values())) or said
            style.beside(ax, 0.02, y, said, style="italic", **style.CLEAR)
            y += 1.4
            continue
        few = [f"seed {seed}: {why.get(seed, 'no set')}" for seed in sorted(set(gap.index) - set(cells["seed"]))]
        style.beside(ax, 0.02, y, "; ".join(few), style="italic")
        y = rivals.block(ax, page, cells, found, state, sign * gap, y + 1) + 0.4
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, -0.08), max(high, 1.05))
    style.frame_rows(ax, y, 0, 1)
    style.beside(ax, 1.02, -0.1, "mean  ahead : behind", fontsize=8.5)
    ax.set_xlabel(f"0: {state} unedited, 1: as {other}")


def answer(page: Settings, comparisons: pd.DataFrame, controls: pd.DataFrame, gap: pd.Series) -> str:
    """The title: what the leading procedure's set does in the reference, beside its rivals."""
    base, target, name = page.roles.reference, page.roles.target, page.leading
    if gap.empty or gap.mean() <= 0:
        return f"There is no gap to close: {target} answers the selection tasks no better than {base}"
    if name is None:
        return "No procedure is listed"
    cells = rivals.fair(page, comparisons, name, base, ROLE)
    found = rivals.outcome(page, cells, base)
    if found is None:
        return f"{name} has no set to amplify in {base}"
    closed, other = (wording.share(rivals.changes(cells, of, gap).mean()) for of in (None, found.strongest))
    said = f"{rivals.sizes(controls, name)} features close {closed} of the gap from {base} to {target}"
    rival = rivals.IN_A_SENTENCE[found.strongest]
    return f"{said}, {rivals.against(page, cells, found.strongest, base)} {rival} ({other})"


def _numbers(page: Settings, comparisons: pd.DataFrame, gap: pd.Series) -> str:
    """How the leading set fares against all its rivals in both models, by paired intervals."""
    parts = []
    for state, verb in ((page.roles.reference, "Amplified in"), (page.roles.target, "Disabled in")):
        cells = rivals.fair(page, comparisons, page.leading, state, ROLE) if page.leading else comparisons.iloc[:0]
        found = rivals.outcome(page, cells, state)
        if found is None or gap.empty:
            continue
        parts.append(f"{verb} {state} the set is {rivals.compared(found)}")
    return ". ".join(parts) + "." if parts else "Nothing was edited."


def appendix(page: Settings, table: pd.DataFrame) -> Figure:
    """Every edit at its chosen dose, and the dose curves."""
    panels = [
        Panel(effects.forest, ROLE, 1.75, "{question}", "accuracy, mean of the selection tasks"),
        Panel(effects.dose_curve, ROLE, 1, "{state} by dose", "dose (multiple of own contribution)"),
    ]
    return details.draw(page, table, panels, "Every edit and control on the selection tasks, by model and dose")

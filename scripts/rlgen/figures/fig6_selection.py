"""Figure 6: do the selected features carry generalization? The share of the gap between two models, set against rivals.

The first page is the answer; the second holds every edit, control and dose.
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
ROLE = "selection"
ROW = 0.27  # inches


def draw(page: Settings, table: pd.DataFrame, comparisons: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    """The answer: left the reference amplified, right the target disabled; a block of rows per procedure."""
    rows = effects.reported(table)
    names = [page.leading, *(name for name in page.procedures if name != page.leading)]
    sides = [page.roles.reference, page.roles.target]
    names = [n for n in names if any(page.procedures[n].edits.get(state) for state in sides)]
    figure, body = style.new_page(11.7, style.HEAD + style.FOOT + 1.1 + ROW * 6 * max(1, len(names)))
    gap = rivals.gaps(page, rows, ROLE)
    for ax, state in zip(body.subplots(1, 2), sides, strict=True):
        _side(ax, page, names, comparisons, controls, gap, state)
    seeds = seeds_of(rows)
    body.legend(handles=style.seed_handles(seeds), loc="outside lower center", ncols=max(1, len(seeds)))
    style.head_and_foot(figure, answer(page, comparisons, controls, gap), _numbers(page, comparisons, gap), page,
                        NOTE.format(seeds=style.count(seeds), n=_prompts(rows)))  # fmt: skip
    return figure


NOTE = (
    "{seeds}, each a mark, their mean an upright line; {n} test prompts per seed. Every set and rival at its own dose, "
    "chosen on the discovery half. Right of each row: the mean, then seeds in which the set is ahead of this rival : "
    "behind it, by paired 95 % bootstrap intervals over prompts. Every edit, control and dose: second page of the PDF."
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
        ax.text(-0.02, y, name, fontweight="bold", ha="right", va="center", transform=ax.get_yaxis_transform())
        found = rivals.outcome(page, cells, state)
        why = rivals.refusals(controls, name, state)
        if found is None or gap.empty:
            edited = page.procedures[name].edits.get(state)
            said = "no set: nothing to edit" if edited else f"does not edit {state}"
            said = "; ".join(dict.fromkeys(why.values())) or said
            ax.text(0.02, y, said, va="center", style="italic", transform=ax.get_yaxis_transform())
            y += 1.4
            continue
        few = [f"seed {seed}: {why.get(seed, 'no set')}" for seed in sorted(set(gap.index) - set(cells["seed"]))]
        ax.text(0.02, y, "; ".join(few), va="center", style="italic", transform=ax.get_yaxis_transform())
        y = rivals.block(ax, page, cells, found, state, sign * gap, y + 1) + 0.4
    ax.set_ylim(max(y, 1.0), -0.7)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, -0.08), max(high, 1.05))
    for at in (0, 1):
        ax.axvline(at, color="black", lw=0.8, zorder=0)
    ax.text(1.02, -0.1, "mean  ahead : behind", transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
    ax.set_xlabel(f"0: {state} unedited, 1: as {other}")
    ax.grid(axis="x", color=style.PALE, lw=0.6)


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
    closed = (cells.drop_duplicates("seed").set_index("seed")["set_change"] / gap).mean()
    other = (cells[cells["rival"] == found.strongest].set_index("seed")["rival_change"] / gap).mean()
    strongest = f"the strongest rival ({rivals.NAMES[found.strongest]}) {style.share(other)}"
    said = f"{rivals.sizes(controls, name)} features close {style.share(closed)} of the gap from {base} to {target}"
    return f"{said}, {strongest}: {rivals.compared(found)}"


def _numbers(page: Settings, comparisons: pd.DataFrame, gap: pd.Series) -> str:
    """Per seed: what the leading set and its strongest rival do in both models."""
    parts = []
    for state, verb in ((page.roles.reference, "Amplified in"), (page.roles.target, "Disabled in")):
        cells = rivals.fair(page, comparisons, page.leading, state, ROLE) if page.leading else comparisons.iloc[:0]
        found = rivals.outcome(page, cells, state)
        if found is None or gap.empty:
            continue
        scale = effects.direction(page, state) * gap
        own = cells.drop_duplicates("seed").set_index("seed")["set_change"] / scale
        other = cells[cells["rival"] == found.strongest].set_index("seed")["rival_change"] / scale
        each = [" / ".join(style.share(v) for v in values.dropna().sort_index()) for values in (own, other)]
        parts.append(f"{verb} {state} ({page.leading}): set {each[0]}, {rivals.NAMES[found.strongest]} {each[1]}")
    return "Shares of the gap on the selection tasks, per seed. " + ". ".join(parts) if parts else "Nothing was edited."


def _prompts(rows: pd.DataFrame) -> str:
    return "/".join(str(int(n)) for n in sorted(rows.loc[rows["role"] == ROLE, "n"].unique())) or "0"


def appendix(page: Settings, table: pd.DataFrame) -> Figure:
    """One row of panels per edited state: every edit at its chosen dose, and the dose curves."""
    rows = effects.reported(table)
    seeds = seeds_of(rows)
    counts = [max(3, len(effects.lines_of(page, rows, state))) for state in page.states]
    height = 2.3 + 0.34 * sum(counts) + 0.55 * len(counts)
    figure, whole = style.new_page(11.7, height + STRIP * (page.published is not None))
    body = whole
    if page.published:
        body, strip = whole.subfigures(2, 1, height_ratios=[height, STRIP])
        published.strip(strip, page, table, page.tasks)
    grid = body.subplots(len(page.states), 2, squeeze=False, width_ratios=[1.75, 1], height_ratios=counts)
    for axes, state in zip(grid, page.states, strict=True):
        effects.forest(axes[0], page, rows, state, ROLE, seeds)
        axes[0].set_title(effects.question(page, state), loc="left", fontweight="bold")
        effects.dose_curve(axes[1], page, rows, state, ROLE, seeds)
        axes[1].set_title(f"{state} by dose", loc="left")
    grid[-1, 0].set_xlabel("accuracy, mean of the selection tasks")
    grid[-1, 1].set_xlabel("dose (multiple of own contribution)")
    entries = effects.handles(page, seeds)
    if page.published:
        entries.append(published.handle(page))
    body.legend(handles=entries, loc="outside lower center", ncols=(len(entries) + 2) // 3)
    style.head_and_foot(
        figure,
        "Every edit and control on the selection tasks, by model and dose",
        effects.finding(page, rows, ROLE),
        page,
        effects.note(rows, ROLE, seeds),
    )
    return figure

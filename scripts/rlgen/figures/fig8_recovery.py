"""Figure 8: does each method find the planted cause?

The first page is the answer, alignment with the cause and what it is worth; the second holds carried shares and
steering by the cause itself.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import effects, style, wording
from rlgen.figures.page import SHIFT, SHIFT_IN_DOMAIN, Settings, seeds_of
from rlgen.figures.recovery_details import ROLE, appendix, label, mark, note, quantity_rows

__all__ = ["TABLES", "Settings", "appendix", "draw"]
TABLES = {  # table -> its columns
    "recovery": [
        "seed", "procedure", "quantity", "task", "value", "lo", "hi", "chance_lo", "chance", "chance_hi", "p",
    ],
    "effects": effects.COLUMNS,
}  # fmt: skip
TRUTH = "truth"
IDLE = 0.02  # a change of accuracy below this is none


def draw(page: Settings, recovery: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """The leading set, the mean shifts and the cause itself: alignment with the cause, and what each does in base."""
    figure, body = style.new_page(11.7, 4.6)
    rows, seeds = effects.reported(table), seeds_of(recovery)
    methods = [page.leading or "", SHIFT_IN_DOMAIN, SHIFT]
    left, right = body.subplots(1, 2, sharey=True, width_ratios=[1.3, 1])
    quantity_rows(left, page, recovery, "cosine", methods, seeds, _shade, chances=False)
    left.set_xlabel("cosine with the planted direction (grey: 95 % of what chance gives)")
    left.set_title("Does it point along the planted cause?", loc="left", fontweight="bold")
    _changes(right, page, rows, [*methods, TRUTH], seeds)
    left.set_yticks(range(len(methods) + 1), [*(_row_name(page, m) for m in methods), "the planted cause itself"])
    left.set_ylim(len(methods) + 0.6, -0.6)
    handles = style.seed_handles(seeds)
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    told = _told(page, rows, methods)
    style.head_and_foot(figure, answer(page, recovery), told, page,
                        f"{note(rows, seeds)}, tick: median. Procedure {page.leading}; the other ones, carried shares "
                        "and steering by the cause: second page of the PDF.")  # fmt: skip
    return figure


def _row_name(page: Settings, method: str) -> str:
    if method == page.leading:
        return "the set of features\n(grey: random sets)"
    return f"{page.roles.target}'s {label(method)}\n(grey: random directions)"


def _own(page: Settings, rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """Rows of one method in the reference, on the selection tasks, at its own dose."""
    cells = rows[(rows["state"] == page.roles.reference) & (rows["role"] == ROLE) & rows["chosen"].astype(bool)]
    if method == page.leading:
        return cells[(cells["procedure"] == method) & (cells["part"] == "main")].drop_duplicates("seed")
    return cells[(cells["procedure"] == effects.STEERING) & (cells["edit"] == method)].drop_duplicates("seed")


def _changes(ax: Axes, page: Settings, rows: pd.DataFrame, methods: list[str], seeds: list[int]) -> None:
    """Change of accuracy in the reference, a row per method, with intervals."""
    for y, method in enumerate(methods):
        own = _own(page, rows, method)
        if own.empty:
            style.beside(ax, 0.02, y, "not run", fontsize=8.5, style="italic")
        for r in own.itertuples():
            at = y + style.lane(r.seed, seeds, 0.5)
            ax.plot([r.change_lo, r.change_hi], [at, at], color=_shade(page, method), lw=1.1)
            mark(ax, r.change, at, _shade(page, method), style.seed_marker(r.seed, seeds))
    ax.axvline(0, color="black", lw=0.6)
    ax.set_xlabel(f"change of accuracy in {page.roles.reference}, selection tasks")
    ax.set_title("What does it do?", loc="left", fontweight="bold")
    ax.grid(True, axis="x")


def _told(page: Settings, rows: pd.DataFrame, methods: list[str]) -> str:
    """Mean effects in words."""
    names = {page.leading: "the set", TRUTH: "the cause itself"}
    parts, cause = [], _own(page, rows, TRUTH)
    for method in [*methods, TRUTH]:
        own = _own(page, rows, method)
        if len(own):
            parts.append(f"{names.get(method, label(method))} {wording.change(own['change'].mean())}")
    if not parts:
        return ""
    idle = sorted(int(seed) for seed in cause.loc[cause["change"] < IDLE, "seed"])
    weak = f" In seed {', '.join(map(str, idle))} even the cause itself adds nothing." if idle else ""
    return f"Switched on in {page.roles.reference}, on selection tasks: {', '.join(parts)} (mean over seeds).{weak}"


def _shade(page: Settings, method: str) -> str:
    """Colours of the first page: the set, the shifts, the cause."""
    return {page.leading: style.SET_COLOUR, TRUTH: style.TRUTH_COLOUR}.get(method, style.SHIFT_COLOUR)


def answer(page: Settings, recovery: pd.DataFrame) -> str:
    """The title: do the leading set's change and the mean shift point along the planted cause, beyond chance?"""
    n, beyond, mean = _beyond(recovery, page.leading)
    if not n:
        return f"{page.leading or 'No procedure'} has no set to hold against the planted cause"
    shifts, above, shift = _beyond(recovery, SHIFT_IN_DOMAIN)
    where = {0: "no more than random sets do", n: "beyond random sets" + wording.in_each(n)}
    said = where.get(beyond, f"beyond random sets in {beyond} of {n} seeds")
    ours = f"The set's change points along the planted cause {said} (cosine {wording.share(mean)})"
    if not shifts:
        return ours
    return f"{ours}; the mean shift {'does' if above else 'does not'}{_in(above, shifts)} ({wording.share(shift)})"


def _in(seeds: int, n: int) -> str:
    return "" if seeds in (0, n) else f" in {seeds} of {n} seeds"


def _beyond(recovery: pd.DataFrame, method: str | None) -> tuple[int, int, float]:
    """Seeds with a cosine, seeds in which it exceeds 97.5 % of chance, and its mean."""
    cells = recovery[(recovery["quantity"] == "cosine") & (recovery["procedure"] == method)]
    cells = cells[cells["task"] == "ALL"].dropna(subset=["value", "chance_hi"])
    return len(cells), int((cells["value"] > cells["chance_hi"]).sum()), float(cells["value"].mean())

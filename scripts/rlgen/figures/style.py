"""The look of every page: Okabe-Ito colours, one marker per seed, readable print, the same bytes on every run.

Importing this module sets matplotlib's defaults for the process, whatever a user's matplotlibrc says.
"""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill, wrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from rlgen.figures.page import Page, ProceduresPage, Roles
from rlgen.files import atomic_path

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#8C8C8C", "#D9D9D9"
OTHERS = (PURPLE, GREEN, ORANGE, SKY)  # models of no role
MARKERS = "os^Dv<>Pp*h"
TRUTH_COLOUR, SHIFT_COLOUR = GREEN, YELLOW
SET_COLOUR, RIVAL_COLOUR = "#882255", "#555555"  # a procedure's set where its rivals stand beside it: no model's colour
HEAD, FOOT = 0.95, 0.58  # inches kept for the title and for the note
TITLES = (13, 12, 11, 10)  # sizes of a title, the first at which it leaves room for what stands below it
CLEAR = {"bbox": {"fc": "white", "ec": "none", "pad": 1.0}}  # words on lines
STAR = {"marker": "*", "ls": "", "mfc": "white", "mec": "black", "mew": 1.0}  # a published value, on every page
PROCEDURE_COLOURS = ("#999933", "#882255", "#44AA99", "#DDAA33")  # no model's colour


matplotlib.rcdefaults()
matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": PALE,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.4,
        "pdf.fonttype": 42,
        "svg.hashsalt": "rlgen",
    }
)


def model_colour(model: str, roles: Roles, models: Sequence[str] = ()) -> str:
    """The one colour of a model (or a checkpoint `model@i` of it) on every page.

    `models`: all of the study, for pages that show more than the compared ones; models of no role follow their order.
    """
    name, compared = model.split("@")[0], {roles.reference: BLACK, roles.target: BLUE, roles.contrast: VERMILLION}
    others = [m for m in models if m not in compared]
    return compared.get(name) or (OTHERS[others.index(name) % len(OTHERS)] if name in others else GREY)


def procedure_colour(page: ProceduresPage, procedure: str) -> str:
    """The one colour of a procedure: its place among the procedures, by name, decides."""
    return PROCEDURE_COLOURS[list(page.procedures).index(procedure) % len(PROCEDURE_COLOURS)]


def seed_marker(seed: int, seeds: list[int]) -> str:
    """The marker of a seed: its rank among the seeds decides."""
    return MARKERS[seeds.index(seed) % len(MARKERS)]


def lane(seed: int, seeds: list[int], width: float) -> float:
    """Offset of a seed inside a category of that width, so that seeds stand side by side."""
    return 0.0 if len(seeds) == 1 else (seeds.index(seed) / (len(seeds) - 1) - 0.5) * width


def new_page(width: float, height: float) -> tuple[Figure, SubFigure]:
    """An empty page in inches, and its body: what lies between the title and the note."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    _, body, _ = figure.subfigures(3, 1, height_ratios=[HEAD, height - HEAD - FOOT, FOOT])
    return figure, body


def head_and_foot(figure: Figure, answer: str, finding: str, page: Page, note: str) -> None:
    """Write the page's answer and the numbers behind it above, study, n and meaning of the intervals below."""
    width, height = figure.get_size_inches()
    below = wrap(finding, int(width * 13.4))
    for size in TITLES:
        lines = wrap(answer, int(width * 8.4 * (TITLES[0] / size)))
        top = 0.13 + 0.21 * (size / TITLES[0]) * len(lines)
        if top + 0.16 * len(below) < HEAD:
            break
    figure.text(0.008, 1 - 0.06 / height, "\n".join(lines), fontsize=size, fontweight="bold", va="top")
    figure.text(0.008, 1 - top / height, "\n".join(below), fontsize=9.5, va="top", color="#333333")
    text = fill(f"Study {page.study}. {note}", int(width * 16.2))
    figure.text(0.008, 0.05 / height, text, fontsize=8, va="bottom", color="#333333")


def say(ax: Axes, text: str) -> None:
    """Put words where a drawing would be: why there is nothing to draw."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=9, wrap=True, color="#333333")


def seed_handles(seeds: list[int]) -> list[Line2D]:
    """Legend entries that explain the markers."""
    return [dot(GREY, f"seed {s}", marker=seed_marker(s, seeds)) for s in seeds]


def beside(ax: Axes, x: float, y: float, text: str, **look: object) -> None:
    """Words at the height of a row; x as a share of the panel's width, below 0 left of the panel."""
    across = ax.get_yaxis_transform()
    ax.text(x, y, text, transform=across, ha="right" if x < 0 else "left", va="center", **look)


def names_at_ends(ax: Axes, x: float, ends: Sequence[tuple[float, str, str]], gap: float) -> None:
    """Names of lines (height, name, colour) right of their ends at x, pushed apart to `gap` where they would touch."""
    if not ends:
        return
    ends = sorted(ends)
    heights = [ends[0][0]]
    for y, _, _ in ends[1:]:
        heights.append(max(y, heights[-1] + gap))
    down = max(0.0, heights[-1] - ax.get_ylim()[1])  # what would leave the panel above
    for height, (_, name, colour) in zip(heights, ends, strict=True):
        ax.text(x, height - down, f"  {name}", color=colour, va="center", fontsize=8.5)


def numbers_beside(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Numbers (x, y, text, colour) beside their points, each at the nearest free place, with a line to its point."""
    points = [ax.transData.transform((x, y)) for x, y, _, _ in ends]
    box, places = ax.get_window_extent(), []
    for (x, y, text, colour), point in zip(ends, points, strict=True):
        found = point
        for radius, angle in ((r, a) for r in (12, 18, 26, 36, 48) for a in np.linspace(0, 2 * np.pi, 12, False)):
            found = point + radius * np.array([np.cos(angle), np.sin(angle)])
            inside = box.x0 + 5 < found[0] < box.x1 - 5 and box.y0 + 5 < found[1] < box.y1 - 5
            others = [*places, *(p for p in points if p is not point)]
            if inside and all(np.hypot(*(found - other)) > 11 for other in others):
                break
        places.append(found)
        offset = (found - point) * 72 / ax.figure.dpi
        look = {"fontsize": 8, "color": colour, "fontweight": "bold", "ha": "center", "va": "center"}
        arrow = {"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 0}
        ax.annotate(text, (x, y), xytext=tuple(offset), textcoords="offset points", arrowprops=arrow, **look)


def frame_rows(ax: Axes, bottom: float, *levels: float) -> None:
    """The frame of rows whose names are words: no edge at the left, upright lines at the levels."""
    ax.set_ylim(max(bottom, 1), -0.7)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    for level in levels:
        ax.axvline(level, color="black", lw=0.8, zorder=0)
    ax.grid(True, axis="x")


def log_shares(ax: Axes, top: float) -> None:
    """Axes of a histogram over shares: 0 to 1 across, shares of the latents on a logarithmic scale upwards."""
    ax.set_yscale("log")
    ax.set_ylim(8e-4, top)
    ax.set_yticks([1e-3, 1e-2, 1e-1, 1], [".001", ".01", ".1", "1"])
    ax.set_xlim(0, 1)


def cells(ax: Axes, share_RC: np.ndarray, signed: bool = False, size: float = 8.5) -> None:
    """A matrix of shares, or signed ones, as coloured cells with their hundredths, the first row on top.

    NaN stays empty.
    """
    low, colours = (-1, "PuOr") if signed else (0, "Blues")
    ax.pcolormesh(share_RC, vmin=low, vmax=1, cmap=colours, edgecolors="face", linewidth=0.2)
    ax.invert_yaxis()
    for (row, column), value in np.ndenumerate(share_RC):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else "black"
            said = f"{100 * value:.0f}".replace("-0", "0").replace("-", "−")
            ax.text(column + 0.5, row + 0.5, said, ha="center", va="center", fontsize=size, color=colour)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def dot(colour: str, label: str, marker: str = "o", hollow: bool = False) -> Line2D:
    """A legend entry drawn as one marker."""
    return Line2D([], [], ls="", marker=marker, ms=5.5, mec=colour, mfc="white" if hollow else colour, label=label)


def stroke(colour: str, label: str, ls: str = "-") -> Line2D:
    """A legend entry drawn as one line."""
    return Line2D([], [], color=colour, ls=ls, label=label)


def settle(figure: Figure) -> None:
    """Lay the page out and freeze it at rounded places: the solver's last bits differ from process to process."""
    for _ in range(2):  # the second pass knows the sizes of labels that the first one moved
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    waiting = list(figure.subfigs)
    for part in waiting:
        waiting.extend(part.subfigs)
        part.bbox_relative.set_points(_rounded(part.bbox_relative))
    for ax in figure.get_axes() + [ax for part in waiting for ax in part.get_axes()]:
        for which in ("original", "active"):
            ax.set_position(Bbox(_rounded(ax.get_position(original=which == "original"))), which)


def _rounded(box: Bbox) -> np.ndarray:
    return np.round(box.get_points(), 6) + 0.0  # no negative zero


def save(figure: Figure, pdf: str | Path, png: str | Path, *more: Figure | None) -> None:
    """Write the page as vector PDF and as PNG (150 dpi), whole or not at all, without dates or versions inside.

    `more`: further pages of the PDF, for those who look closer; None is no page.
    """
    pages = [figure, *filter(None, more)]
    for page in pages:
        settle(page)
    metadata = {"CreationDate": None, "Creator": None, "Producer": None}
    with atomic_path(pdf) as partial, PdfPages(partial, metadata=metadata) as file:
        for page in pages:
            file.savefig(page)
    with atomic_path(png) as partial:
        figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})

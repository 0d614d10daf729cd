"""Figure 1: which training generalizes.

The second page: who still knows the steps, and does a lost habit come back faster, or the course of training.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from pydantic import Field

from rlgen.figures import style, wording
from rlgen.figures.page import ROLE_TITLES, TasksPage, final_checkpoints, prompts, seeds_of
from rlgen.strict import Strict

ACCURACY_COLUMNS = [
    "model", "checkpoint", "steps_share", "seed", "role", "task", "half", "n", "metric", "value", "lo", "hi",
]  # fmt: skip
PUBLISHED_AT = 0.36  # right of ours in a model's column
GUESSES = {"accuracy": "guess", "own_format": "own_format_guess"}  # reading -> what it is without reading the prompt
BEYOND = ("selection", "unseen")
STRICT = "strict"  # the same answers, right only in the one form that a task asks for


class Relearning(Strict):
    """A model that learns step by step: whose state it starts from, and in how many steps."""

    parent: str
    steps: int = Field(ge=1)


class Settings(TasksPage):
    """`models`: all of the study; `made`: how each comes to be, in words, but for the compared ones' methods.

    `relearning`: those whose learning is compared step by step, by name;
    `chance`: task -> accuracy of choosing among its options, for tasks whose majority answer is not known;
    `published`: model -> task -> accuracy (shares, not percent).
    """

    models: list[str]
    made: dict[str, str] = Field(default_factory=dict)
    relearning: dict[str, Relearning] = Field(default_factory=dict)
    chance: dict[str, float] = Field(default_factory=dict)
    published: dict[str, dict[str, float]] | None = None

    def colour(self, model: str) -> str:
        """A model's colour."""
        return style.model_colour(model, self.roles, self.models)


def draw(page: Settings, accuracy: pd.DataFrame) -> Figure:
    """Accuracy of every model at its end, a panel per role of tasks."""
    rows = accuracy[(accuracy["half"] == "test") & (accuracy["task"] == "ALL")]
    finals, seeds = final_checkpoints(rows), seeds_of(rows)
    figure, body = style.new_page(11.7, 4.8)
    _row_of_roles(
        body, page.task_roles(), "accuracy", lambda ax, role: _finals(ax, page, finals, "accuracy", role, seeds)
    )
    handles = _handles(page, rows, seeds)
    if page.published:
        handles += [Line2D([], [], ms=9, label="published", **style.STAR)]
    if STRICT in set(rows["metric"]):
        handles += [style.dot(style.GREY, "read strictly", hollow=True)]
    body.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    style.head_and_foot(figure, _answer(page, finals), _finding(page, finals), page, _note(page, finals))
    return figure


def appendix(page: Settings, accuracy: pd.DataFrame) -> Figure | None:
    """Right steps in the tasks' own format; learning again, or the course of training. None where there is neither."""
    rows = accuracy[(accuracy["half"] == "test") & (accuracy["task"] == "ALL")]
    drawn = {name: f"{name}: from {r.parent}" for name, r in page.relearning.items()}
    course, drawn = (_again, drawn) if drawn else (_course, {m: m for m in _trained(page, rows)})
    finals, seeds = final_checkpoints(rows), seeds_of(rows)
    steps = "own_format" in set(rows["metric"])
    if not drawn and not steps:
        return None
    figure, body = style.new_page(11.7, 1.6 + 3.0 * (steps + bool(drawn)))
    parts = list(np.atleast_1d(body.subfigures(steps + bool(drawn), 1)))
    if steps:
        label, part = "right steps, own format", parts.pop(0)
        _row_of_roles(part, page.task_roles(), label, lambda ax, r: _finals(ax, page, finals, "own_format", r, seeds))
        part.legend(handles=_handles(page, rows, seeds), loc="outside lower center", ncols=len(seeds) + 2)
    if drawn:
        part = parts.pop()
        _row_of_roles(part, page.task_roles(), "accuracy", lambda ax, role: course(ax, page, rows, role, seeds))
        handles = [style.stroke(page.colour(m), label) for m, label in drawn.items()] + style.seed_handles(seeds)
        if course is _course and STRICT in set(rows["metric"]):
            handles += [style.stroke(style.GREY, "read strictly", "--")]
        part.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    titles = ["Steps after right ones"] * steps
    titles += ["learning again, step by step" if page.relearning else "accuracy over training"] * bool(drawn)
    title = ", and ".join(titles)
    told = _means(page, finals)
    style.head_and_foot(figure, title[:1].upper() + title[1:], told, page, _note(page, finals, steps))
    return figure


def _handles(page: Settings, rows: pd.DataFrame, seeds: list[int]) -> list[Line2D]:
    handles = [*style.seed_handles(seeds), style.stroke(style.GREY, "mean over seeds")]
    if page.chance or set(GUESSES.values()) & set(rows["metric"]):
        handles += [style.stroke(style.GREY, "guessing" if page.chance else "always the commonest answer", ":")]
    return handles


def _note(page: Settings, finals: pd.DataFrame, with_steps: bool = False) -> str:
    metrics, seeds = set(finals["metric"]), seeds_of(finals)
    counts = ", ".join(f"{prompts(finals, role)} {role.replace('_', '-')}" for role in page.task_roles())
    how = "Answers as the benchmarks define them (greedy, or the likeliest choice)"
    steps = ""
    if "own_format" in metrics:
        how = "Greedy decoding"
    if with_steps:
        steps = (
            "Right steps, own format: after each right beginning of the task's own trace, is the likeliest of the "
            "task's states the right next one? Commonest answers and steps are chosen on the discovery half. "
        )
    if STRICT in metrics:
        steps += "Hollow and dashed: the same answers read strictly, right only in the form that a task asks for. "
    return (
        f"{how}, test half: {counts} prompts per seed; {wording.count(seeds)}, never pooled. Vertical lines: 95 % "
        f"bootstrap intervals over prompts within a seed. {steps}Role values are means over the role's tasks."
    )


def _row_of_roles(part: SubFigure, roles: list[str], label: str, fill) -> None:
    axes = part.subplots(1, len(roles), sharey=True, squeeze=False)[0]
    for ax, role in zip(axes, roles, strict=True):
        fill(ax, role)
        ax.set_ylim(-0.03, 1.05)
        ax.grid(True, axis="y")
        ax.set_title(ROLE_TITLES[role].capitalize(), loc="left")
    axes[0].set_ylabel(label)


def _finals(ax: Axes, page: Settings, finals: pd.DataFrame, metric: str, role: str, seeds: list[int]) -> None:
    """One column per model: each seed with its interval, the mean as a bar; hollow beside it what holds strictly."""
    rows = finals[finals["role"] == role]
    strictly = metric == "accuracy" and STRICT in set(rows["metric"])
    place, width = (-0.09, 0.2) if strictly else (0.0, 0.3)
    told = dict.fromkeys(page.models, "")
    for x, model in enumerate(page.models):
        own, colour = rows[rows["model"] == model], page.colour(model)
        cells = own[own["metric"] == metric]
        mean = _column(ax, cells, x + place, width, colour, seeds)
        if len(cells):
            left, look = x + place - 0.1 - width / 2, {"fontsize": 8.5, "color": colour, "fontweight": "bold"}
            ax.annotate(
                wording.share(mean), (left, mean), (-2, 0), textcoords="offset points", ha="right", va="center", **look
            )
        else:
            ax.text(x, 0.5, "missing", ha="center", fontsize=8)
        if strictly:
            mean = _column(ax, own[own["metric"] == STRICT], x + 0.24, 0.12, colour, seeds, hollow=True)
            told[model] = f"\nstrictly {wording.share(mean)}"
    _guessing(ax, page, rows, metric, role)
    said = _published(ax, page, role) if metric == "accuracy" else {}
    ax.set_xticks(range(len(page.models)), [f"{m}{told[m]}\n{said.get(m, '')}".strip() for m in page.models])
    if len(page.models) > 5:
        ax.tick_params(axis="x", rotation=20)
    ax.set_xlim(-0.75, len(page.models) - 0.5)


def _column(
    ax: Axes, cells: pd.DataFrame, x: float, width: float, colour: str, seeds: list[int], hollow: bool = False
) -> float:
    """Seeds with their intervals side by side around `x`, and their mean as a bar: its value."""
    for r in cells.itertuples():
        at = x + style.lane(r.seed, seeds, width)
        ax.plot([at, at], [r.lo, r.hi], color=colour, lw=1, alpha=0.7)
        fill = {"mfc": "white", "mec": colour} if hollow else {}
        ax.plot(at, r.value, style.seed_marker(r.seed, seeds), color=colour, ms=5, **fill)
    mean = cells["value"].mean()
    if len(cells):
        reach = 0.09 + width / 2
        ax.plot([x - reach, x + reach], [mean, mean], color=colour, lw=1.2 if hollow else 2.2)
    return mean


def _guessing(ax: Axes, page: Settings, rows: pd.DataFrame, metric: str, role: str) -> None:
    """What answering without the prompt reaches: the same for every model."""
    tasks, level = getattr(page.tasks, role), rows[rows["metric"] == GUESSES.get(metric)]["value"]
    if len(level):
        ax.axhline(level.mean(), color=style.GREY, ls=":", lw=1.2)
    elif metric == "accuracy" and all(t in page.chance for t in tasks):
        ax.axhline(np.mean([page.chance[t] for t in tasks]), color=style.GREY, ls=":", lw=1.2)


def _published(ax: Axes, page: Settings, role: str) -> dict[str, str]:
    """Published means where every task of the role is published; how many are, by model."""
    tasks, said = getattr(page.tasks, role), {}
    for x, model in enumerate(page.models if page.published is not None else []):
        known = page.published.get(model, {})
        count = sum(t in known for t in tasks)
        said[model] = (
            f"{count} of {len(tasks)} published" if 0 < count < len(tasks) else "" if count else "not published"
        )
        if count == len(tasks):
            ax.plot(x + PUBLISHED_AT, np.mean([known[t] for t in tasks]), ms=11, **style.STAR)
    return said


def _trained(page: Settings, rows: pd.DataFrame) -> list[str]:
    """Models with a course: more than one checkpoint."""
    return [m for m in page.models if rows.loc[rows["model"] == m, "checkpoint"].max() > 1]


def _course(ax: Axes, page: Settings, rows: pd.DataFrame, role: str, seeds: list[int]) -> None:
    """Accuracy against training share, one line per seed; every line starts at the reference. Dashed: strictly."""
    for metric, look in {"accuracy": {}, STRICT: {"ls": "--", "mfc": "white"}}.items():
        read = rows[(rows["metric"] == metric) & (rows["role"] == role)]
        start = read[read["model"] == page.roles.reference].set_index("seed")["value"]
        for model in _trained(page, read):
            for seed, line in read[read["model"] == model].sort_values("checkpoint").groupby("seed"):
                x, y = [0.0, *line["steps_share"]], [start.get(seed, np.nan), *line["value"]]
                _line(ax, x, y, page, model, seed, seeds, **look)
    ax.set_xlabel("share of the training steps")


def _again(ax: Axes, page: Settings, rows: pd.DataFrame, role: str, seeds: list[int]) -> None:
    """Accuracy against steps of learning the same texts; every line starts at its parent."""
    rows = rows[(rows["metric"] == "accuracy") & (rows["role"] == role)]
    finals = final_checkpoints(rows)
    for model, settings in page.relearning.items():
        start = finals[finals["model"] == settings.parent].set_index("seed")["value"]
        for seed, line in rows[rows["model"] == model].sort_values("checkpoint").groupby("seed"):
            x = [0.0, *(line["steps_share"] * settings.steps)]
            _line(ax, x, [start.get(seed, np.nan), *line["value"]], page, model, seed, seeds)
    ax.set_xlabel("training steps")


def _line(ax: Axes, x: list, y: list, page: Settings, model: str, seed: int, seeds: list[int], **look: object) -> None:
    ax.plot(x, y, color=page.colour(model), marker=style.seed_marker(seed, seeds), ms=4.5, lw=1.2, **look)


def _answer(page: Settings, finals: pd.DataFrame, metric: str = "accuracy") -> str:
    """Which models rise or fall beyond the trained task: in every seed and role, by intervals that do not meet."""
    found = _sorted(page, finals, metric)
    if not any(found.values()):
        return "Nothing to compare with the reference"
    reference = page.roles.reference
    words = {"above": f"above {reference}", "below": "below it" if found["above"] else f"below {reference}"}
    parts = []
    for kind, said in words.items():
        if models := found[kind]:
            parts.append(f"{_listed(models)} {'is' if len(models) == 1 else 'are'} {said}")
    if not parts:
        return f"Out of domain no model is told apart from {reference}"
    return f"Out of domain {', '.join(parts)}"


def _sorted(page: Settings, finals: pd.DataFrame, metric: str = "accuracy") -> dict[str, list[str]]:
    """Models above, below and beside the reference out of domain."""
    rows = finals[(finals["metric"] == metric) & finals["role"].isin(BEYOND)]
    base = rows[rows["model"] == page.roles.reference].set_index(["role", "seed"])
    found: dict[str, list[str]] = {"above": [], "below": [], "beside": []}
    for model in page.models:
        own = rows[rows["model"] == model].set_index(["role", "seed"])
        if model != page.roles.reference and len(own) and own.index.equals(base.index):
            rises, falls = (own["lo"] > base["hi"]).all(), (own["hi"] < base["lo"]).all()
            found["above" if rises else "below" if falls else "beside"].append(model)
    return found


def _listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _finding(page: Settings, finals: pd.DataFrame) -> str:
    """What holds read strictly, who is not told apart from the reference, and how the models came to be."""
    beside, roles = _sorted(page, finals)["beside"], set(finals.loc[finals["metric"] == STRICT, "role"])
    told = ""
    if {role for role in page.task_roles() if role in BEYOND} <= roles and roles & {*BEYOND}:
        answer = _answer(page, finals, STRICT)
        told = f"Read strictly: {answer[0].lower()}{answer[1:]}.  "
    told += f"Neither in every seed and on both kinds of tasks: {', '.join(beside)}.  " if beside else ""
    return told + "; ".join(f"{model}: {page.made[model]}" for model in page.models if model in page.made)


def _means(page: Settings, finals: pd.DataFrame) -> str:
    """Mean accuracies over seeds, in words."""
    means, parts = finals.groupby(["metric", "role", "model"])["value"].mean(), []
    for role in page.task_roles():
        values = " / ".join(wording.share(means.get(("accuracy", role, m), np.nan)) for m in page.models)
        parts.append(f"{ROLE_TITLES[role].split(', ')[-1]} {values}")
    again = [f"{model}: {r.steps} steps from {r.parent}" for model, r in page.relearning.items()]
    text = f"Mean accuracy, {' / '.join(page.models)}:  " + ";  ".join(parts)
    return text + (f"  ({'; '.join(again)})" if again else "")

"""Figure 1: what each kind of post-training does to accuracy, and how it gets there."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pydantic import Field

from rlgen.figures import style
from rlgen.figures.page import ROLE_TITLES, TasksPage, final_checkpoints, seeds_of

ACCURACY_COLUMNS = [
    "model", "checkpoint", "steps_share", "seed", "role", "task", "half", "n", "metric", "value", "lo", "hi",
]  # fmt: skip
CURVE_COLUMNS = ["model", "seed", "step", "metric", "value"]
PUBLISHED_AT = 0.36  # right of ours in a model's column
CURVES = {
    "loss": "training loss",
    "reward": "mean reward (share right)",
    "completion_length": "completion length, tokens",
    "share_without_spread": "share of groups\nwithout reward spread",
}


class Settings(TasksPage):
    """`chance`: task -> accuracy of guessing; `published`: model -> task -> accuracy (shares, not percent)."""

    chance: dict[str, float] = Field(default_factory=dict)
    published: dict[str, dict[str, float]] | None = None


def draw(page: Settings, accuracy: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """The page: final accuracy per role, accuracy during training, training curves."""
    figure, body = style.new_page(11.7, 9.6)
    roles, models = page.task_roles(), page.roles.models()
    rows = accuracy[(accuracy["half"] == "test") & (accuracy["task"] == "ALL") & accuracy["model"].isin(models)]
    seeds = seeds_of(rows)
    top, middle, bottom = body.subfigures(3, 1, height_ratios=[1.15, 1, 0.85])
    finals = final_checkpoints(rows)
    _row_of_roles(top, roles, lambda ax, role: _finals(ax, page, finals[finals["role"] == role], role, seeds))
    _row_of_roles(middle, roles, lambda ax, role: _course(ax, page, rows[rows["role"] == role], seeds))
    _curves(bottom, page, curves, seeds)
    handles, (how, blind) = style.seed_handles(seeds), _reading(rows)
    if blind:
        handles = [*handles, style.dot(style.GREY, "format-blind", hollow=True)]
    handles += [style.stroke(style.GREY, "mean over seeds")]
    if page.chance:
        handles += [style.stroke(style.GREY, "guessing", ":")]
    if page.published:
        handles += [Line2D([], [], ms=9, label="published", **style.STAR)]
    top.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    lines = [style.stroke(style.model_colour(m, page.roles), m) for m in models]
    middle.legend(handles=lines, loc="outside lower center", ncols=len(lines))
    counts = ", ".join(f"{_prompts(finals, r)} {r.replace('_', '-')}" for r in roles)
    style.head_and_foot(
        figure,
        "Which post-training generalizes beyond the task it trained on?",
        _finding(finals, roles, models),
        page,
        f"{how}, test half: {counts} prompts per seed; {style.count(seeds)}, never pooled. Vertical lines: "
        f"95 % bootstrap intervals over prompts within a seed. {blind}Role values are means over the role's tasks.",
    )
    return figure


def _reading(rows: pd.DataFrame) -> tuple[str, str]:
    """How answers were read, and what format-blind means where they were read so too."""
    if "format_blind" not in set(rows["metric"]):
        return "Answers as the benchmarks define them (greedy, or the likeliest choice)", ""
    where = "at the answer position, after the model's own reasoning"
    return "Greedy decoding", f"Format-blind: the likeliest of the task's own answers {where}. "


def _row_of_roles(part, roles: list[str], fill) -> None:
    axes = part.subplots(1, len(roles), sharey=True, squeeze=False)[0]
    for ax, role in zip(axes, roles, strict=True):
        fill(ax, role)
        ax.set_ylim(-0.03, 1.05)
        ax.grid(axis="y", color=style.PALE, lw=0.6)
        ax.set_title(ROLE_TITLES[role].capitalize(), loc="left")
    axes[0].set_ylabel("accuracy")


def _prompts(finals: pd.DataFrame, role: str) -> str:
    counts = sorted(finals.loc[finals["role"] == role, "n"].unique())
    return "/".join(str(int(n)) for n in counts) or "0"


def _finals(ax: Axes, page: Settings, rows: pd.DataFrame, role: str, seeds: list[int]) -> None:
    """One column per model: each seed with its interval, format-blind beside it, the mean as a bar."""
    models = page.roles.models()
    for x, model in enumerate(models):
        colour = style.model_colour(model, page.roles)
        for metric, shift, hollow in (("accuracy", -0.17, False), ("format_blind", 0.2, True)):
            cells = rows[(rows["model"] == model) & (rows["metric"] == metric)]
            for r in cells.itertuples():
                at = x + shift + style.lane(r.seed, seeds, 0.22)
                ax.plot([at, at], [r.lo, r.hi], color=colour, lw=1, alpha=0.7)
                ax.plot(
                    at,
                    r.value,
                    style.seed_marker(r.seed, seeds),
                    color=colour,
                    ms=5.5,
                    mfc="white" if hollow else colour,
                )
            if len(cells) and not hollow:
                mean = cells["value"].mean()
                ax.plot([x + shift - 0.19, x + shift + 0.19], [mean, mean], color=colour, lw=2.2)
                ax.annotate(style.share(mean), (x + shift - 0.2, mean), xytext=(-2, 0), textcoords="offset points",
                            ha="right", va="center", fontsize=9, color=colour, fontweight="bold")  # fmt: skip
        if not len(rows[rows["model"] == model]):
            ax.text(x, 0.5, "missing", ha="center", fontsize=8)
    said = _levels(ax, page, role, models)
    ax.set_xticks(range(len(models)), [f"{model}\n{said.get(model, '')}".strip() for model in models])
    ax.set_xlim(-0.65, len(models) - 0.45)


def _levels(ax: Axes, page: Settings, role: str, models: list[str]) -> dict[str, str]:
    """Guessing level, and published means where every task of the role is published; how many are, by model."""
    tasks = getattr(page.tasks, role)
    if all(t in page.chance for t in tasks):
        ax.axhline(np.mean([page.chance[t] for t in tasks]), color=style.GREY, ls=":", lw=1.2)
    said = {}
    for x, model in enumerate(models if page.published is not None else []):
        known = page.published.get(model, {})
        count = sum(t in known for t in tasks)
        said[model] = (
            f"{count} of {len(tasks)} published" if 0 < count < len(tasks) else "" if count else "not published"
        )
        if count == len(tasks):
            ax.plot(x + PUBLISHED_AT, np.mean([known[t] for t in tasks]), ms=11, **style.STAR)
    return said


def _course(ax: Axes, page: Settings, rows: pd.DataFrame, seeds: list[int]) -> None:
    """Accuracy against training share, one line per seed; every line starts at the reference."""
    rows = rows[rows["metric"] == "accuracy"]
    start = rows[rows["model"] == page.roles.reference].set_index("seed")["value"]
    for model in page.roles.models()[1:]:
        colour = style.model_colour(model, page.roles)
        for seed, line in rows[rows["model"] == model].sort_values("checkpoint").groupby("seed"):
            x, y = [0.0, *line["steps_share"]], [start.get(seed, np.nan), *line["value"]]
            ax.plot(x, y, color=colour, marker=style.seed_marker(seed, seeds), ms=4.5, lw=1.2)
    for seed, value in start.items():
        ax.plot(0, value, style.seed_marker(seed, seeds), color=style.BLACK, ms=5)
    ax.set_xlabel("share of the training steps")


def _curves(part, page: Settings, curves: pd.DataFrame, seeds: list[int]) -> None:
    """Loss, reward, length and dead groups against training share; thin lines are seeds."""
    for ax, (metric, label) in zip(part.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        rows = curves[(curves["metric"] == metric) & curves["model"].isin(page.roles.models())]
        ax.set_title(label[:1].upper() + label[1:], loc="left")
        if rows.empty:
            style.say(ax, "not recorded by\nany of these models")
            continue
        for (model, _), line in rows.sort_values("step").groupby(["model", "seed"]):
            ax.plot(
                line["step"] / line["step"].max(),
                line["value"],
                color=style.model_colour(model, page.roles),
                lw=0.9,
                alpha=0.85,
            )
        if metric == "reward" or metric == "share_without_spread":
            ax.set_ylim(-0.03, 1.03)
        ax.grid(axis="y", color=style.PALE, lw=0.6)
        ax.set_xlabel("share of the training steps")


def _finding(finals: pd.DataFrame, roles: list[str], models: list[str]) -> str:
    """The means over seeds, in words."""
    means = finals[finals["metric"] == "accuracy"].groupby(["role", "model"])["value"].mean()
    parts = []
    for role in roles:
        values = " / ".join(style.share(means.get((role, m), np.nan)) for m in models)
        parts.append(f"{ROLE_TITLES[role].split(', ')[-1]} {values}")
    return f"Mean accuracy, {' / '.join(models)}:  " + ";  ".join(parts)

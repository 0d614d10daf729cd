"""Figure 10: which ways to post-train generalize, and does the distance from the reference say so?

The second page repeats the distances for the unseen tasks, and shows how far the arms share one shift.
"""

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from rlgen.figures import style, wording
from rlgen.figures.page import Page, final_checkpoints, seeds_of

ARMS = ["model", "group", "seed", "checkpoint", "in_domain", "selection", "kl", "displacement", "norm", "cosine"]
AS_FAR = ["model", "seed", "reached", "selection"]
EXPLAINED = ["seed", "predictor", "role", "points", "value", "lo", "hi"]
COLOURS = (style.VERMILLION, style.ORANGE, style.GREEN, style.BLUE, style.SKY, style.PURPLE, style.GREY)
LEARNT = 0.8  # in-domain accuracy from which an arm has learnt its task
MOVED = 0.1  # change of accuracy out of domain that counts
DISTANCES = {
    "kl": "forward KL to the reference, nats per token",
    "displacement": "displacement, share of the stream's norm",
}
ROLES = {"selection": "selection tasks", "unseen": "unseen tasks"}


class Settings(Page):
    """What the page knows of its study."""

    arms: list[tuple[str, str]]  # every arm, and where its training texts come from
    prompts: int  # discovery prompts of a task on which distances are read
    watch: str | None = None  # the procedure whose set is taken out of arms
    taken: list[str] = Field(default_factory=list)  # of which arms
    dictionaries: dict[str, str] = Field(default_factory=dict)  # dictionary over the reference and an arm -> the arm
    recipe: str | None = None  # of these dictionaries

    @property
    def group_of(self) -> dict[str, str]:
        """Arm -> its group, in their order."""
        return dict(self.arms)

    @property
    def colours(self) -> dict[str, str]:
        """Arm -> the colour of its group."""
        groups = list(dict.fromkeys(self.group_of.values()))
        return {arm: COLOURS[groups.index(group) % len(COLOURS)] for arm, group in self.group_of.items()}

    @property
    def number_of(self) -> dict[str, int]:
        """Arm -> its number on the page."""
        return {arm: number for number, arm in enumerate(self.group_of, start=1)}


def draw(page: Settings, arms: pd.DataFrame, explained: pd.DataFrame) -> Figure:
    """Who generalizes, and the selection tasks against two distances."""
    told = f"{named(page, arms)} {finding(page, explained)}"
    return _page(page, arms, explained, _rows, "selection", (answer(page, arms), told))


def appendix(page: Settings, arms: pd.DataFrame, explained: pd.DataFrame, as_far: pd.DataFrame) -> Figure:
    """The unseen tasks against the same distances, the direction of every arm's shift, and arms moved as far."""
    title = f"Cosine of each arm's mean shift with that of {page.roles.target}, and the unseen tasks"
    told = f"{finding(page, explained, 'unseen')} {moved_as_far(page, as_far)}"
    return _page(page, arms, explained, _cosines, "unseen", (title, told))


def moved_as_far(page: Settings, as_far: pd.DataFrame) -> str:
    """Accuracy on selection tasks of the arms that reach the target's displacement, where they do."""
    others = as_far[as_far["model"] != page.roles.target]
    reached = others[others["reached"].astype(bool)]
    parts = [
        f"{arm} {wording.share(rows['selection'].mean())}"
        for arm, rows in reached.groupby("model", sort=False)
        if arm in page.group_of
    ]
    if not parts:
        return f"No arm moves as far as {page.roles.target}."
    return f"Where they have moved as far as {page.roles.target}, selection tasks: {', '.join(parts)}."


def _page(
    page: Settings,
    arms: pd.DataFrame,
    explained: pd.DataFrame,
    left: Callable[[Axes, Settings, pd.DataFrame], None],
    role: str,
    head: tuple[str, str],
) -> Figure:
    """At the left a row per arm, at the right a role's tasks against every distance; `head`: title, and below it."""
    figure, body = style.new_page(11.7, 5.9)
    axes = body.subplots(1, 3, width_ratios=[1.15, 1, 1])
    left(axes[0], page, final_checkpoints(arms))
    for ax, distance in zip(axes[1:], DISTANCES, strict=True):
        _against(ax, page, arms, explained, distance, role)
    _legend(body, page)
    style.head_and_foot(figure, *head, page, note(page, arms))
    return figure


def sorts(page: Settings, arms: pd.DataFrame) -> dict[str, list[str]]:
    """Arms that have learnt their task, by what became of the selection tasks in the mean of all seeds."""
    means = final_checkpoints(arms).groupby("model")[["in_domain", "selection"]].mean()
    if page.roles.reference not in means.index:
        return {}
    start = means.loc[page.roles.reference, "selection"]
    found = {"better": [], "as before": [], "worse": []}
    for arm in page.group_of:
        if arm in means.index and means.loc[arm, "in_domain"] >= LEARNT:
            change = means.loc[arm, "selection"] - start
            found["better" if change > MOVED else "worse" if change < -MOVED else "as before"].append(arm)
    return found


def answer(page: Settings, arms: pd.DataFrame) -> str:
    """The page's title."""
    found = sorts(page, arms)
    learnt = sum(map(len, found.values()))
    if not learnt:
        return f"No arm has learnt its task ({LEARNT:.0%} right): nothing to compare"
    parts = [f"{len(names)} {kind}" for kind, names in found.items() if names]
    return f"{learnt} of {len(page.group_of)} arms learn their task; on other tasks they are then: {', '.join(parts)}"


def named(page: Settings, arms: pd.DataFrame) -> str:
    """Which arms the title counts."""
    return " ".join(f"{kind.capitalize()}: {', '.join(names)}." for kind, names in sorts(page, arms).items() if names)


def overall(explained: pd.DataFrame, role: str) -> pd.DataFrame:
    """Rank correlations of a role over all seeds."""
    return explained[(explained["seed"].astype(str) == "all") & (explained["role"] == role)]


def finding(page: Settings, explained: pd.DataFrame, role: str = "selection") -> str:
    """Rank correlations over all seeds."""
    rows = overall(explained, role)
    names = {"kl": "KL", "displacement": "displacement", "in_domain": "in-domain accuracy"}
    told = [f"{names[row.predictor]} {_number(row)}" for row in rows.itertuples()]
    if not told:
        return ""
    over = f"the change of accuracy on {ROLES[role]}, over checkpoints of all arms"
    return f"Rank correlation with {over}: {', '.join(told)}."


def _number(row) -> str:
    if pd.isna(row.value):
        return "–"
    return f"{wording.change(row.value)} [{wording.change(row.lo)}, {wording.change(row.hi)}]"


def _rows(ax: Axes, page: Settings, ends: pd.DataFrame) -> None:
    """Accuracy of every arm at its end: in-domain hollow, selection tasks filled; the reference as a line."""
    seeds = seeds_of(ends)
    for arm, number in page.number_of.items():
        mine, colour = ends[ends["model"] == arm], page.colours[arm]
        for row in mine.itertuples():
            marker, at = style.seed_marker(row.seed, seeds), number + style.lane(row.seed, seeds, 0.45)
            ax.plot(row.in_domain, at, marker, color=colour, mfc="white", ms=3.6)
            ax.plot(row.selection, at, marker, color=colour, ms=4.4)
        ax.plot(mine[["in_domain", "selection"]].mean(), [number] * 2, color=colour, lw=1.2, alpha=0.5, zorder=0)
    start = ends.loc[ends["model"] == page.roles.reference, "selection"].mean()
    ax.axvline(start, color=style.BLACK, lw=1)
    _named(ax, page)
    ax.text(start, len(page.number_of) + 0.55, f" {page.roles.reference}", fontsize=8.5, va="bottom")
    ax.set_xlim(-0.03, 1.03)
    ax.set_xlabel("accuracy")
    ax.set_title("in-domain (hollow), selection tasks (filled)", loc="left", fontweight="bold")


def _cosines(ax: Axes, page: Settings, ends: pd.DataFrame) -> None:
    seeds = seeds_of(ends)
    for arm, number in page.number_of.items():
        for row in ends[ends["model"] == arm].itertuples():
            at = number + style.lane(row.seed, seeds, 0.45)
            ax.plot(row.cosine, at, style.seed_marker(row.seed, seeds), color=page.colours[arm], ms=4.4)
    _named(ax, page)
    ax.axvline(0, color="black", lw=0.6)
    ax.set_xlabel("cosine")
    ax.set_title(f"shift on selection tasks, with {page.roles.target}'s", loc="left", fontweight="bold")


def _named(ax: Axes, page: Settings) -> None:
    """Names of arms with their numbers at the left."""
    ax.set_yticks(list(page.number_of.values()), [f"{arm}  {number}" for arm, number in page.number_of.items()])
    ax.set_ylim(len(page.number_of) + 0.6, 0.2)
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")


def _against(ax: Axes, page: Settings, arms: pd.DataFrame, explained: pd.DataFrame, distance: str, role: str) -> None:
    """Change of accuracy over a distance, a line of checkpoints per arm (mean over seeds), its number at the end."""
    if role not in arms or arms[role].isna().all():
        style.say(ax, f"no {ROLES[role]}")
        return
    start = arms[arms["model"] == page.roles.reference].set_index("seed")[role]
    rows = arms.assign(change=arms[role] - arms["seed"].map(start))
    rows = rows.assign(displacement=rows["displacement"] / rows["norm"])
    ends = []
    for arm, number in page.number_of.items():
        mine = rows[rows["model"] == arm].groupby("checkpoint")[[distance, "change"]].mean()
        if mine.empty:
            continue
        colour = page.colours[arm]
        ax.plot(mine[distance], mine["change"], "-o", color=colour, lw=1, ms=2.6, alpha=0.8)
        end = (mine[distance].iloc[-1], mine["change"].iloc[-1])
        ax.plot(*end, "o", color=colour, ms=6, mec="white")
        ends.append((*end, str(number), colour))
    ax.axhline(0, color="black", lw=0.6)
    ax.set_xscale("log")
    ax.margins(0.08)
    style.numbers_beside(ax, ends)
    ax.set_xlabel(DISTANCES[distance])
    ax.set_ylabel(f"change of accuracy, {ROLES[role]}")
    ax.set_title(_says(explained, role, distance), loc="left", fontweight="bold")


def _says(explained: pd.DataFrame, role: str, distance: str) -> str:
    """Whether a distance tells who generalizes: does its interval hold zero?"""
    rows = overall(explained, role)
    rows = rows[rows["predictor"] == distance]
    name = {"kl": "KL", "displacement": "Displacement"}[distance]
    if rows.empty or pd.isna(rows["value"].iloc[0]):
        return f"{name}: no rank correlation"
    row = rows.iloc[0]
    tells = "tells" if row["lo"] > 0 or row["hi"] < 0 else "does not tell"
    return f"{name} {tells} who ({wording.change(row['value'])})"


def _legend(body, page: Settings) -> None:
    colours = {group: page.colours[arm] for arm, group in reversed(page.group_of.items())}
    handles = [style.dot(colour, group) for group, colour in reversed(colours.items())]
    body.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


def note(page: Settings, arms: pd.DataFrame) -> str:
    """The foot of the page."""
    return (
        f"{wording.count(seeds_of(arms))}, each a mark at the left, their mean at the right; test half. Distances on "
        f"{page.prompts} discovery prompts of the trained task, on texts that {page.roles.reference} samples there; "
        f"lines are checkpoints, numbers the arms at their end. Learnt: {LEARNT:.0%} in-domain; a change counts from "
        f"{MOVED:g}. 95 % intervals resample runs, each an arm in one seed."
    )

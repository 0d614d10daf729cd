"""Figure 11: does the set's reading tell early who will generalize, and can one train for it?

The second page repeats both for the unseen tasks, with readings on the trained task's own prompts.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import rivals, style, wording
from rlgen.figures.page import ROLE_TITLES, Page, final_checkpoints, seeds_of
from rlgen.strict import Strict

ACCURACY = ["model", "seed", "checkpoint", "role", "task", "half", "metric", "value"]
FORETOLD = ["seed", "checkpoint", "texts", "predictor", "role", "runs", "value", "lo", "hi"]
FORETOLD += ["beyond", "beyond_lo", "beyond_hi"]
PREDICTORS = {  # what is drawn, beside random sets: name, colour, line
    "set": ("the set", style.SET_COLOUR, "-"),
    "in_domain": ("in-domain accuracy", style.BLACK, "--"),
    "kl": ("KL", style.PURPLE, ":"),
    "shift": ("mean shift", style.GREEN, "-."),
}
SETS = {  # family of a set that models aim at: name, colour
    "selected": ("the set", style.SET_COLOUR),
    "size": (rivals.NAMES["size"], style.ORANGE),
    "random": ("a random set", style.GREY),
    "shift-in_domain": (rivals.NAMES["shift-in_domain"], style.GREEN),
    "shift-selection": (rivals.NAMES["shift-selection"], style.GREEN),
    "alive": ("all latents", style.SKY),
}
HOW = ("under", "holds")
KEEPS = 0.05  # of accuracy: what counts as more than SFT alone keeps


class Aimed(Strict):
    """A model that aims at a set, or one beside it that does not (`set` and `how` are empty)."""

    set: str
    how: str
    spent: list[int]  # completions that it had been trained on at each checkpoint


class Settings(Page):
    """What the page knows of its study."""

    watch: str  # the procedure whose set is read
    models: dict[str, Aimed]
    prompts: int


def draw(page: Settings, foretold: pd.DataFrame, accuracy: pd.DataFrame) -> Figure:
    """The selection tasks; readings on their prompts, which need no answers."""
    return _page(page, foretold, accuracy, "selection", "selection", (answer(page, foretold, accuracy), ""))


def appendix(page: Settings, foretold: pd.DataFrame, accuracy: pd.DataFrame) -> Figure:
    """The unseen tasks; readings on the trained task's own prompts."""
    head = "The same for the unseen tasks, read on prompts of the trained task alone"
    return _page(page, foretold, accuracy, "unseen", "in_domain", (head, ""))


def _page(
    page: Settings, foretold: pd.DataFrame, accuracy: pd.DataFrame, role: str, texts: str, head: tuple[str, str]
) -> Figure:
    """Who is foretold at the left; at the right what aiming does, by distillation and in SFT."""
    figure, body = style.new_page(11.7, 5.9)
    axes = body.subplots(1, 3, width_ratios=[1.1, 1, 1])
    told = told_rows(foretold, role, texts)
    _foretold(axes[0], told)
    scored = scores(accuracy, role)
    for ax, how in zip(axes[1:], HOW, strict=True):
        _aimed(ax, page, scored, how)
    if not scored.empty:
        axes[1].set_ylabel(f"accuracy, {ROLE_TITLES[role]}")
    style.head_and_foot(figure, head[0], finding(page, told, scored), page, note(page, accuracy, told))
    return figure


def told_rows(foretold: pd.DataFrame, role: str, texts: str) -> pd.DataFrame:
    """Rows over all seeds for one role and kind of texts."""
    rows = foretold[(foretold["seed"].astype(str) == "all") & (foretold["role"] == role)]
    return rows[rows["texts"] == texts]


def scores(accuracy: pd.DataFrame, role: str) -> pd.DataFrame:
    """Accuracy of every model, seed and checkpoint on the test half, mean over a role's tasks."""
    wanted = {"role": role, "task": "ALL", "half": "test", "metric": "accuracy"}
    for column, value in wanted.items():
        accuracy = accuracy[accuracy[column] == value]
    return accuracy[["model", "seed", "checkpoint", "value"]]


def gains(page: Settings, scored: pd.DataFrame) -> dict[str, float]:
    """Model -> mean over seeds of its change from the reference at its end, as a share of the target's."""
    ends = final_checkpoints(scored).groupby("model")["value"].mean() if not scored.empty else {}
    start, target = page.roles.reference, page.roles.target
    if start not in ends or target not in ends or ends[target] == ends[start]:
        return {}
    return {m: (ends[m] - ends[start]) / (ends[target] - ends[start]) for m in page.models if m in ends}


def answer(page: Settings, foretold: pd.DataFrame, accuracy: pd.DataFrame) -> str:
    """The page's title: one sentence for either half."""
    parts = [
        early_answer(told_rows(foretold, "selection", "selection")),
        aim_answer(page, scores(accuracy, "selection")),
    ]
    return " ".join(part for part in parts if part)


def early_answer(told: pd.DataFrame) -> str:
    """Whether the set at the first checkpoint ranks arms better than random sets and in-domain accuracy do."""
    first = told[told["checkpoint"] == told["checkpoint"].min()]
    rows = first[first["predictor"] == "set"]
    if rows.empty or pd.isna(rows["value"].iloc[0]):
        return "The set's reading foretells nothing."
    row, ahead = rows.iloc[0], []
    if row["beyond_lo"] <= 0:
        ahead.append(f"in-domain accuracy ({wording.change(row['value'] - row['beyond'])})")
    random = first[first["predictor"].str.startswith("random-")]["value"]
    if row["value"] <= random.max():
        ahead.append(f"random sets ({wording.change(random.median())})")
    word = f"no better than {' or '.join(ahead)}" if ahead else "better than all its rivals"
    read = f"the set's reading ({wording.change(row['value'])})"
    return f"At the first checkpoint {read} tells who will generalize {word}."


def aim_answer(page: Settings, scored: pd.DataFrame) -> str:
    """What distilling the set's edit brings, beside its best rival."""
    found = {page.models[m].set: share for m, share in gains(page, scored).items() if page.models[m].how == "under"}
    others = {name: share for name, share in found.items() if name != "selected"}
    if "selected" not in found or not others:
        return ""
    best = max(others, key=others.get)
    brings = f"Distilling its edit brings {wording.share(found['selected'])} of {page.roles.target}'s gain"
    return f"{brings}, {named(best)[0]} {wording.share(others[best])}."


def held_answer(page: Settings, scored: pd.DataFrame) -> str:
    """Whether SFT keeps more where it is held to what the set reads, mean over seeds."""
    ends = final_checkpoints(scored).groupby("model")["value"].mean() if not scored.empty else {}
    held = next((m for m, model in page.models.items() if model.how == "holds" and model.set == "selected"), None)
    if held not in ends or page.roles.contrast not in ends:
        return "SFT, held to what an edit reads"
    keeps = ends[held] - ends[page.roles.contrast] > KEEPS
    return f"SFT held to the set {'keeps more' if keeps else 'forgets all the same'}"


def finding(page: Settings, told: pd.DataFrame, scored: pd.DataFrame) -> str:
    """The numbers behind the title."""
    first = told[told["checkpoint"] == told["checkpoint"].min()].set_index("predictor")
    parts = [
        f"{PREDICTORS[name][0]} {wording.change(row['value'])} "
        f"[{wording.change(row['lo'])}, {wording.change(row['hi'])}]"
        for name, row in first.iterrows()
        if name in PREDICTORS and not pd.isna(row["value"])
    ]
    what = "Rank correlation at the first checkpoint with the change at the end"
    said = f"{what}: {', '.join(parts)}." if parts else ""
    found = {page.models[m].set: share for m, share in gains(page, scored).items() if page.models[m].how == "under"}
    shares = [f"{named(name)[0]} {wording.change(share)}" for name, share in found.items()]
    return f"{said} Distilled, share of the gain: {', '.join(shares)}." if shares else said


def named(name: str) -> tuple[str, str]:
    """Name and colour of a set that models aim at."""
    family, _, number = name.rpartition("-")
    return SETS.get(family if number.isdecimal() else name, (name, style.BLACK))


def _foretold(ax: Axes, told: pd.DataFrame) -> None:
    """Rank correlation over checkpoints, a line per predictor; the range of random sets behind them."""
    if told.empty or told["value"].isna().all():
        style.say(ax, "nothing is foretold here")
        return
    ends = []
    random = told[told["predictor"].str.startswith("random-")].groupby("checkpoint")["value"]
    if len(random):
        ax.fill_between(list(random.groups), random.min(), random.max(), color=style.PALE, zorder=0)
        ends.append((random.median().iloc[-1], "random sets", style.RIVAL_COLOUR))
    for predictor, (name, colour, line) in PREDICTORS.items():
        rows = told[told["predictor"] == predictor].sort_values("checkpoint")
        if rows["value"].isna().all():
            continue
        ax.plot(rows["checkpoint"], rows["value"], line, color=colour, marker="o", ms=4)
        if predictor == "set":
            ax.vlines(rows["checkpoint"], rows["lo"], rows["hi"], color=colour, lw=1, alpha=0.6)
        ends.append((rows["value"].iloc[-1], name, colour))
    last = told["checkpoint"].max()
    ax.hlines(0, 0.8, last, color="black", lw=0.6)
    ax.set_xticks(sorted(told["checkpoint"].unique()))
    ax.set_xlim(0.8, last + 0.7 * max(1, last - 1))
    ax.set_ylim(min(-0.25, told["value"].min() - 0.1), 1.05)
    style.names_at_ends(ax, last, ends, 0.055 * np.ptp(ax.get_ylim()))
    ax.set_xlabel("checkpoint at which it is read")
    ax.set_ylabel("rank correlation with the change at the end")
    ax.set_title("Who will generalize?", loc="left", fontweight="bold")


def _aimed(ax: Axes, page: Settings, scored: pd.DataFrame, how: str) -> None:
    """Accuracy over the completions trained on: models that aim in one way, and those that aim at nothing."""
    shown = {name: model for name, model in page.models.items() if model.how in ("", how)}
    if how not in {model.how for model in shown.values()} or scored.empty:
        style.say(ax, "no model aims like this")
        return
    start = scored[scored["model"] == page.roles.reference]["value"].mean()
    most = max(model.spent[-1] for model in shown.values())
    ax.hlines(start, 0, most, color=style.BLACK, lw=0.8)
    ends = []
    for name, model in shown.items():
        mine = scored[scored["model"] == name].sort_values("checkpoint")
        if mine.empty:
            continue
        label, colour = named(model.set) if model.set else (name, style.model_colour(name, page.roles))
        for _, run in mine.groupby("seed"):
            ax.plot(model.spent, run["value"], "-", color=colour, lw=0.7, alpha=0.45)
        mean = mine.groupby("checkpoint")["value"].mean()
        ax.plot(model.spent, mean, "o-" if model.set else "s--", color=colour, ms=4)
        ends.append((mean.iloc[-1], label, colour))
    ax.text(0, start, f" {page.roles.reference}", va="bottom", fontsize=8.5)
    ax.set_xlim(0, 1.9 * most)
    ax.set_ylim(0, 1.03)
    style.names_at_ends(ax, most, ends, 0.055)
    ax.set_xticks([0, most / 2, most], [f"{n:,.0f}" for n in (0, most / 2, most)])
    ax.set_xlabel("completions trained on")
    title = "Distilled from the edited base" if how == "under" else held_answer(page, scored)
    ax.set_title(title, loc="left", fontweight="bold")


def note(page: Settings, accuracy: pd.DataFrame, told: pd.DataFrame) -> str:
    """The foot of the page."""
    runs = int(told["runs"].max()) if not told.empty else 0
    return (
        f"{wording.count(seeds_of(accuracy))}; test half. Left: {runs} runs, {page.roles.target} left out, as the set "
        f"of {page.watch} was chosen on it; readings on {page.prompts} prompts of each task, without their answers; "
        "95 % intervals resample arms. Right: thick lines are means over seeds, thin ones single seeds."
    )

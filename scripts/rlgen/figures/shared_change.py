"""The fourth page of figure 10: whether arms share what changed in them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlgen.figures import exclusive, style, wording
from rlgen.figures.fig10_arms import Settings, sorts
from rlgen.figures.page import seeds_of

SHARED = ["seed", "kind", "model", "other", "value", "chance"]
FEATURES = ["dictionary", "recipe", "seed", "latent", "alive", "nrn_l1", "nu_err", "nu_rec"]


def draw(page: Settings, arms: pd.DataFrame, shared: pd.DataFrame, features: pd.DataFrame) -> Figure:
    """At the left each arm's own latents, then cosines of all shifts, then cosines of what sets chosen on arms add."""
    figure, body = style.new_page(11.7, 6.6)
    axes = body.subplots(1, 3, width_ratios=[0.75, 1.5, 0.9])
    _tails(axes[0], page, tails(page, features))
    numbered = [f"{arm}  {number}" for arm, number in page.number_of.items()]
    _matrix(axes[1], matrix(shared, "shift", list(page.group_of)), numbered, list(page.number_of.values()), 6.5)
    axes[1].set_title("cosines of mean shifts, in hundredths", loc="left", fontweight="bold")
    compared = [arm for arm in page.group_of if arm in set(shared.loc[shared["kind"] == "change", "model"])]
    if compared:
        names = [f"{arm}  {page.number_of[arm]}" for arm in compared]
        _matrix(axes[2], matrix(shared, "change", compared), names, [page.number_of[arm] for arm in compared], 8.5)
        axes[2].set_title("of what their sets add", loc="left", fontweight="bold")
    else:
        style.say(axes[2], "no set was chosen on another arm")
    note = (
        f"{wording.count(seeds_of(shared))}: marks at the left, means in the cells. Tail: norm ratio above "
        f"{wording.share(exclusive.TAIL)} in a dictionary over {page.roles.reference} and the arm; filled: truly its "
        "own by latent scaling. Shifts: residual stream on selection tasks at the end of training. Sets: the mean "
        "exchange of each arm's own set, of its own dictionary, on its own answers; row against column."
    )
    style.head_and_foot(figure, answer(page, arms, shared), finding(page, shared, features), page, note)
    return figure


def tails(page: Settings, features: pd.DataFrame) -> pd.DataFrame:
    """Arm, seed, share of its alive latents in the tail, and of these that are exclusive by our cut (`own`)."""
    counted = exclusive.table(features[features["recipe"] == page.recipe])
    counted = counted[counted["dictionary"].isin(page.dictionaries) & (counted["alive"] > 0)]
    shares = {
        name: counted[column] / counted["alive"] for name, column in (("tail", "tail"), ("own", "exclusive_ours"))
    }
    return counted.assign(arm=counted["dictionary"].map(page.dictionaries), **shares)[["arm", "seed", "tail", "own"]]


def matrix(shared: pd.DataFrame, kind: str, arms: list[str]) -> np.ndarray:
    """Mean cosine over seeds of every arm (row) with every other one (column); the diagonal is empty."""
    rows = shared[shared["kind"] == kind].pivot_table(index="model", columns="other", values="value")
    return rows.reindex(index=arms, columns=arms).to_numpy(float)


def with_target(page: Settings, shared: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Rows of a kind of cosine whose other side is the target."""
    return shared[(shared["kind"] == kind) & (shared["other"] == page.roles.target)]


def answer(page: Settings, arms: pd.DataFrame, shared: pd.DataFrame) -> str:
    """The page's title: who has moved where the target has."""
    means, target = with_target(page, shared, "shift").groupby("model")["value"].mean(), page.roles.target
    parts = []
    for kind, names in sorts(page, arms).items():
        found = means.reindex([name for name in names if name != target]).dropna()
        parts += [f"{_range(found)} where other tasks are then {kind}"] if len(found) else []
    told = "; ".join(parts) or "nothing to compare"
    return f"Mean shifts of arms that learnt their task have a cosine with {target}'s of {told}"


def finding(page: Settings, shared: pd.DataFrame, features: pd.DataFrame) -> str:
    """What the sets add, beside random sets, and whose latents are their own."""
    told, target = [], page.roles.target
    changes = with_target(page, shared, "change")
    if len(changes):
        means = changes.groupby("model")[["value", "chance"]].mean()
        told.append(
            f"Sets chosen on {len(means)} other arms add what {target}'s set adds with a cosine of "
            f"{_range(means['value'])}; random sets of their dictionaries {_range(means['chance'])}."
        )
    own = tails(page, features).groupby("arm")["tail"].mean()
    if target in own.index and len(own) > 1:
        others = own.drop(index=target)
        told.append(
            f"Tail of the norm ratio: {target} {own[target]:.0%}, others {others.min():.0%} to {others.max():.0%}."
        )
    return " ".join(told)


def _range(values: pd.Series) -> str:
    low, high = wording.share(values.min()), wording.share(values.max())
    return low if low == high else f"{low} to {high}"


def _tails(ax: Axes, page: Settings, shares: pd.DataFrame) -> None:
    """A bar per arm: its tail, and the part of it that is truly its own."""
    if shares.empty:
        style.say(ax, "no dictionary over the reference and one arm")
        return
    seeds = seeds_of(shares)
    for arm, number in page.number_of.items():
        mine, at = shares[shares["arm"] == arm], number - 0.5
        if mine.empty:
            style.beside(ax, 0.02, at, "no dictionary", fontsize=7.5, style="italic")
            continue
        colour = page.colours[arm]
        ax.barh(at, mine["tail"].mean(), color=colour, alpha=0.3, height=0.6)
        ax.barh(at, mine["own"].mean(), color=colour, height=0.6)
        for row in mine.itertuples():
            lane = at + style.lane(row.seed, seeds, 0.4)
            ax.plot(row.tail, lane, style.seed_marker(row.seed, seeds), color=colour, mfc="white", ms=4)
    names = [f"{arm}  {number}" for arm, number in page.number_of.items()]
    ax.set_yticks(np.arange(len(names)) + 0.5, names)
    ax.set_ylim(len(names), 0)
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")
    most = max(0.01, ax.get_xlim()[1])
    ax.set_xlim(-0.02 * most, most)  # marks at 0 are whole
    ax.set_xlabel("share of alive latents")
    ax.set_title("latents of the arm's own", loc="left", fontweight="bold")


def _matrix(ax: Axes, cosine_RC: np.ndarray, rows: list[str], columns: list[int], size: float) -> None:
    """Cosines as cells; columns carry the arms' numbers alone."""
    style.cells(ax, cosine_RC, signed=True, size=size)
    places = np.arange(len(rows)) + 0.5
    ax.set_xticks(places, columns)
    ax.set_yticks(places, rows)

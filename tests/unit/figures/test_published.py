"""Published effects beside ours, on the second pages of figures 6 and 7 of a study that repeats a paper's."""

import importlib
from functools import cache
from itertools import pairwise

import pandas as pd
import pytest
import synthetic_tables
from matplotlib.figure import Figure
from matplotlib.text import Text

from rlgen.figures import style

ROLES = {"fig6_selection": "selection", "fig7_unseen": "unseen"}
PUBLISHED = synthetic_tables.PAPER
SIDES = {"disable": "Disabled in rl", "amplify": "Amplified in base"}
EDITS = {  # of the synthetic procedures, by name
    "disable": [("contribution", "exchange"), ("dedicated", "exchange"), ("published", "disable")],
    "amplify": [("contribution", "exchange"), ("dedicated", "exchange"), ("published", "scale"), ("published", "add")],
}


def table_of() -> pd.DataFrame:
    """Effects on halves and on critical samples; every procedure has a set."""
    critical = synthetic_tables.critical(synthetic_tables.TASKS, empty=None)
    return pd.concat([synthetic_tables.effects(None), critical], ignore_index=True)


def draw(name: str, table: pd.DataFrame | None = None, **replaced: object) -> Figure:
    module = importlib.import_module(f"rlgen.figures.{name}")
    settings = synthetic_tables.SETTINGS[name] | {"published": PUBLISHED, "tasks": synthetic_tables.TASKS[ROLES[name]]}
    return module.appendix(module.Settings.model_validate(settings | replaced), table_of() if table is None else table)


@cache
def page_of(name: str) -> Figure:
    """The page of the synthetic study, only looked at."""
    return draw(name)


def axes(figure: Figure) -> dict:
    """The panels of the strip, by side."""
    found = {ax.get_title(loc="left"): ax for ax in every_axes(figure)}
    return {
        side: next(ax for title, ax in found.items() if title.startswith(f"{text}: critical"))
        for side, text in SIDES.items()
    }


def every_axes(figure: Figure) -> list:
    parts = [figure]
    for part in parts:
        parts += part.subfigs
    return [ax for part in parts for ax in part.get_axes()]


def marks(ax, star: bool) -> list:
    return [line for line in ax.lines if line.get_marker() not in ("None", None) and (line.get_marker() == "*") is star]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ROLES)
def test_each_published_value_is_a_star_above_its_task(name, side):
    ax, tasks = axes(page_of(name))[side], synthetic_tables.TASKS[ROLES[name]]
    stars = {round(line.get_xdata()[0]): line.get_ydata()[0] for line in marks(ax, star=True)}
    assert stars == {x: PUBLISHED[side][task] for x, task in enumerate(tasks) if task in PUBLISHED[side]}
    assert [label.get_text() for label in ax.get_xticklabels()] == tasks


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ROLES)
def test_ours_are_the_changes_of_selected_sets_on_critical_samples(name, side):
    table, state = table_of(), {"disable": "rl", "amplify": "base"}[side]
    tasks = synthetic_tables.TASKS[ROLES[name]]
    kept = (table["subset"] == "critical") & (table["state"] == state) & table["task"].isin(tasks)
    found = sorted(line.get_ydata()[0] for line in marks(axes(page_of(name))[side], star=False))
    assert found == pytest.approx(sorted(100 * table.loc[kept, "change"]))
    assert len(found) == len(tasks) * len(EDITS[side]) * len(synthetic_tables.SEEDS)


@pytest.mark.parametrize("name", ROLES)
def test_other_rows_are_not_drawn(name):
    """Discovery halves, other metrics, doses that were not chosen, controls: none belongs into the strip."""
    table = table_of()
    critical = table[table["subset"] == "critical"].assign(change=-9.0)
    others = [{"half": "discovery"}, {"metric": "kl"}, {"chosen": False}, {"set_kind": "random"}, {"state": "rl@1"}]
    more = pd.concat([table, *(critical.assign(**other) for other in others)], ignore_index=True)
    found, expected = (
        {side: [line.get_ydata()[0] for line in marks(ax, star=False)] for side, ax in axes(figure).items()}
        for figure in (draw(name, more), page_of(name))
    )
    assert found == expected


@pytest.mark.parametrize("name", ROLES)
def test_no_mark_hides_another(name):
    """Within a task the star stands left of all edits, an edit's seeds side by side, each in its own marker."""
    for side, ax in axes(page_of(name)).items():
        for x in range(len(synthetic_tables.TASKS[ROLES[name]])):
            ours = [line for line in marks(ax, star=False) if round(line.get_xdata()[0]) == x]
            places = [line.get_xdata()[0] for line in ours]
            assert len({round(p, 6) for p in places}) == len(places) == 3 * len(EDITS[side])
            assert all(abs(p - x) < 0.5 for p in places)
            stars = [line.get_xdata()[0] for line in marks(ax, star=True) if round(line.get_xdata()[0]) == x]
            assert all(star < min(places) for star in stars)
        assert {line.get_marker() for line in marks(ax, star=False)} == set(style.MARKERS[:3])
        assert ("(hollow: add)" in ax.get_title(loc="left")) is (side == "amplify")
        hollow = [line for line in marks(ax, star=False) if line.get_markerfacecolor() == "white"]
        assert len(hollow) == (side == "amplify") * 3 * len(synthetic_tables.TASKS[ROLES[name]])


def test_what_is_not_published_is_said_and_never_filled_in():
    """`dir` has no effect of disabling, `mix` none at all."""
    said = {}
    for name in ROLES:
        for side, ax in axes(page_of(name)).items():
            said[name, side] = [round(t.get_position()[0]) for t in ax.texts if t.get_text() == "not published"]
    assert said == {
        ("fig6_selection", "disable"): [2],
        ("fig6_selection", "amplify"): [],
        ("fig7_unseen", "disable"): [1],
        ("fig7_unseen", "amplify"): [1],
    }


@pytest.mark.parametrize("name", ROLES)
def test_the_page_says_where_values_are_published_and_stays_readable(name, tmp_path):
    figure = draw(name)
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "reported in arXiv 0000.00000" in words
    style.save(figure, tmp_path / "a.pdf", tmp_path / "a.png")
    assert {
        t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text() and t.get_fontsize() < 8
    } == set()
    style.save(draw(name), tmp_path / "b.pdf", tmp_path / "b.png")
    for kind in ("pdf", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("name", ROLES)
def test_text_stays_on_the_page_and_panels_apart(name):
    """With the longest names of real tasks: nothing is cut off, and no tick label lies on another."""
    tasks = ["openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge"]
    table = pd.concat(
        [synthetic_tables.effects(None), synthetic_tables.critical({"selection": tasks})], ignore_index=True
    )
    figure = draw(name, table, tasks=tasks, published=PUBLISHED | {"disable": {}})
    style.settle(figure)
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    for ax in axes(figure).values():
        labels = [label.get_window_extent(renderer) for label in ax.get_xticklabels()]
        assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 for box in labels)
        assert all(left.x1 < right.x0 for left, right in pairwise(labels))
        inside = ax.get_window_extent(renderer)
        for text in ax.texts:
            box = text.get_window_extent(renderer)
            assert inside.y0 <= box.y0 and box.y1 <= inside.y1, "it would lie on the panel's title or labels"
    left, right = (ax._left_title.get_window_extent(renderer) for ax in axes(figure).values())
    assert left.x1 < right.x0


@pytest.mark.parametrize("name", ROLES)
def test_pages_without_critical_samples_or_tasks_speak(name):
    empty = draw(name, synthetic_tables.effects())
    assert all(marks(ax, star=True) and not marks(ax, star=False) for ax in axes(empty).values())
    draw(name, table_of().iloc[:0])
    words = [text.get_text() for ax in axes(draw(name, tasks=[])).values() for text in ax.texts]
    assert words == ["no such tasks"] * 2


@pytest.mark.parametrize("name", ROLES)
def test_a_study_of_its_own_has_no_strip(name):
    figure = draw(name, published=None)
    assert not any("critical samples" in ax.get_title(loc="left") for ax in every_axes(figure))
    assert "reported in" not in " ".join(text.get_text() for text in figure.findobj(Text))

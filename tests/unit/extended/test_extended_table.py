"""Curves, areas and rotation by hand and against an independent computation."""

import numpy as np
import pandas as pd
import pytest

from rlgen.extended.table import AREAS, CURVES, ROTATION, SummariseVaried, area_weights, varied_tables

CFG = SummariseVaried(seeds=[0], score="ours", reference="base", tuned="rl", bootstrap=200)
ROLES = {"max": "selection", "cnt": "selection", "par": "unseen"}
PROMPTS = {"max": 4, "cnt": 8, "par": 6}


def answers(correct: dict[str, list[int]], **named) -> pd.DataFrame:
    """One state's answers: task -> right or wrong, prompt by prompt."""
    rows = [
        {"task": task, "role": ROLES[task], "half": "test", "sample": f"{task}{i}", "correct": bool(c)} | named
        for task, values in correct.items()
        for i, c in enumerate(values)
    ]
    return pd.DataFrame(rows)


def first(**right: int) -> dict[str, list[int]]:
    """The first so many prompts of every task are right."""
    return {task: [int(i < right.get(task, 0)) for i in range(n)] for task, n in PROMPTS.items()}


def steering() -> pd.DataFrame:
    parts = {"base": first(max=1, cnt=2), "rl": first(max=4, cnt=8, par=6)}
    return pd.concat([answers(found, state=state, edit="none") for state, found in parts.items()], ignore_index=True)


def varied(score: str, size: int, right: dict, kind: str = "size", left_out: str = "") -> pd.DataFrame:
    named = {"state": "base", "kind": kind, "score": score, "size": size, "latents": size, "left_out": left_out}
    return answers(right, dose=1.0, **named)


def test_an_effect_is_the_change_of_accuracy_tasks_weigh_the_same_and_the_gap_is_the_others():
    """max .25 -> .75, cnt .25 -> .5: +.375; the gap (.75 + .75) / 2."""
    rows = pd.concat([varied("ours", 1, first(max=3, cnt=4)), varied("alive", 9, first(max=4, cnt=8, par=3))])
    table = varied_tables(rows, steering(), CFG, 0)[0].set_index(["role", "score"])
    one = table.loc["selection", "ours"]
    assert one["effect"] == pytest.approx(0.375) and one["gap"] == pytest.approx(0.75) and one["n"] == 12
    assert one["lo"] <= one["effect"] <= one["hi"] and one["lo"] < one["hi"]
    assert table.loc[("unseen", "alive"), "effect"] == pytest.approx(0.5)
    assert table.loc[("selection", "alive"), "effect"] == pytest.approx(0.75)


def test_an_area_is_the_mean_over_doublings_and_differences_are_paired():
    """Sizes 1, 2, 8: a third of the way (1 + 2) / 2, two thirds (2 + 8) / 2; the same answers differ by nothing."""
    facts = pd.DataFrame({"score": ["ours", "ours", "size", "ours"], "size": [8, 1, 4, 2]})
    np.testing.assert_allclose(area_weights(facts, "ours"), [1 / 3, 1 / 6, 0, 1 / 2])
    np.testing.assert_allclose(area_weights(facts, "size"), [0, 0, 1, 0])
    rows = pd.concat(
        [varied(score, size, first(max=1 + size)) for score in ("ours", "twin") for size in (1, 3)]
        + [varied("worse", size, first(max=size)) for size in (1, 3)]
        + [varied("alive", 9, first(max=4))]
    )
    table = varied_tables(rows, steering(), CFG, 0)[1].query("role == 'selection'").set_index("score")
    assert set(table.index) == {"ours", "twin", "worse"}
    assert table.loc["ours", "area"] == pytest.approx(((0.25 + 0.75) / 2 - 0.25) / 2)  # cnt loses its .25
    assert table.loc["twin", ["difference", "difference_lo", "difference_hi"]].tolist() == [0, 0, 0]
    assert table.loc["worse", "difference"] == pytest.approx(-0.125)


def test_an_own_score_that_ranks_nothing_has_no_set_to_differ_from():
    rows = pd.concat([varied("twin", size, first(max=1 + size)) for size in (1, 3)])
    table = varied_tables(rows, steering(), CFG, 0)[1]
    assert len(table) == 2 and set(table["score"]) == {"twin"} and table["area"].notna().all()
    assert table[["difference", "difference_lo", "difference_hi"]].isna().all(axis=None)


def test_areas_agree_with_resampling_prompts_one_by_one():
    """The interval's spread against a bootstrap written out with loops."""
    rng = np.random.default_rng(0)
    prompts = {"max": 40}
    base, rl = {"max": [0] * 40}, {"max": [1] * 40}
    steered = pd.concat([answers(base, state="base", edit="none"), answers(rl, state="rl", edit="none")])
    drawn = {size: (rng.random(40) < 0.2 * size).astype(float) for size in (1, 4)}
    rows = pd.concat([varied("ours", size, {"max": right}) for size, right in drawn.items()])
    [row] = varied_tables(rows, steered, CFG.model_copy(update={"bootstrap": 4000}), 0)[1].itertuples()
    slow = [np.mean([(drawn[1][i] + drawn[4][i]) / 2 for i in rng.integers(0, 40, 40)]) for _ in range(4000)]
    assert row.area == pytest.approx((drawn[1].mean() + drawn[4].mean()) / 2)
    np.testing.assert_allclose([row.lo, row.hi], np.quantile(slow, [0.025, 0.975]), atol=0.015)
    assert prompts["max"] == row.n


def test_a_task_in_and_out_of_the_choice():
    """Three tasks, one left out: each is out of one set and in two; par loses all where it has no say."""
    sets = {"max": first(max=3, par=4), "cnt": first(max=3, par=2), "par": first(max=3)}
    rows = pd.concat(
        [varied("attribution", 2, right, "rotation", left_out=out) for out, right in sets.items()], ignore_index=True
    )
    table = varied_tables(rows, steering(), CFG, 0)[2].set_index("task")
    par = table.loc["par"]
    assert par["effect_in"] == pytest.approx(0.5) and par["effect_out"] == 0
    assert par["difference"] == pytest.approx(-0.5) and par["sets_in"] == 2 and par["sets_out"] == 1
    assert par["lo"] < par["difference"] < par["hi"] < 0
    assert table.loc["max", ["effect_in", "effect_out", "difference"]].tolist() == [0.5, 0.5, 0.0]
    assert table.loc["ALL", "difference"] == pytest.approx(-0.5 / 3) and table.loc["ALL", "n"] == 18


def test_a_prompt_without_an_unedited_answer_is_refused():
    rows = varied("ours", 1, first(max=3))
    with pytest.raises(ValueError, match="base was not run unedited on all prompts of max"):
        varied_tables(rows, steering().query("sample != 'max2'"), CFG, 0)


def test_nothing_run_gives_empty_tables_with_their_columns():
    rows = varied("ours", 1, first(max=3)).iloc[:0]
    found = varied_tables(rows, steering(), CFG, 0)
    assert [list(table.columns) for table in found] == [CURVES, AREAS, ROTATION] and all(t.empty for t in found)

"""The set against its rivals, by hand: paired by prompt, families as means over members, roles as means over tasks."""

import numpy as np
import pandas as pd
import pytest

from rlgen.interventions.comparisons import COLUMNS, comparisons

ANSWERS = {  # (set, form) -> correct on the four test prompts of each of two tasks
    ("selected", "own_dose"): {"max": [1, 1, 1, 0], "cnt": [1, 1, 0, 0]},
    ("size", "equal_norm"): {"max": [1, 1, 0, 0], "cnt": [1, 0, 0, 0]},
    ("size", "own_dose"): {"max": [1, 1, 1, 1], "cnt": [1, 1, 1, 1]},
    ("random-00", "equal_norm"): {"max": [1, 0, 0, 0], "cnt": [0, 0, 0, 0]},
    ("random-01", "equal_norm"): {"max": [1, 1, 1, 1], "cnt": [1, 1, 1, 0]},
}
BEFORE = {"max": [0, 0, 0, 0], "cnt": [1, 0, 0, 0]}


def table(answers: dict, procedure: str, state: str, edit: str | None = None, half: str = "test") -> pd.DataFrame:
    rows = [
        {"procedure": procedure, "state": state, "edit": edit or "exchange", "set": name, "form": form, "dose": 1.0}
        | {"chosen": True, "task": task, "role": "selection", "half": half, "sample": f"{task}{i}"}
        | {"correct": bool(right), "answer_logprob": -float(i)}
        for (name, form), by_task in answers.items()
        for task, marks in by_task.items()
        for i, right in enumerate(marks)
    ]
    return pd.DataFrame(rows)


def steering(state: str) -> pd.DataFrame:
    none = table({("none", "own_dose"): BEFORE}, "steering", state, "none")
    truth = table({("truth", "own_dose"): ANSWERS["selected", "own_dose"]}, "steering", state, "truth")
    shift = table({("shift-selection", "own_dose"): BEFORE}, "steering", state, "shift-selection")
    return pd.concat([none, truth, shift], ignore_index=True)


@pytest.fixture
def found() -> pd.DataFrame:
    return comparisons(table(ANSWERS, "ours", "base"), steering("base"), target="rl", seed=3, draws=200)


def cell(found: pd.DataFrame, rival: str, form: str, task: str, metric: str = "accuracy") -> pd.Series:
    where = (found["rival"] == rival) & (found["form"] == form) & (found["task"] == task) & (found["metric"] == metric)
    (row,) = found[where].itertuples()
    return row


def test_a_rival_in_one_form_by_hand(found):
    row = cell(found, "size", "equal_norm", "max")
    assert (row.n, row.members, row.set_value, row.rival_value, row.difference) == (4, 1, 0.75, 0.5, 0.25)
    assert (row.set_change, row.rival_change, row.share_exceeded, row.seed) == (0.75, 0.5, 1.0, 3)
    assert row.lo <= row.difference <= row.hi


def test_a_role_is_the_mean_over_its_tasks(found):
    row = cell(found, "size", "own_dose", "ALL")
    assert (row.n, row.set_value, row.rival_value, row.difference) == (8, 0.625, 1.0, -0.375)
    assert row.set_change == pytest.approx(0.625 - 0.125) and row.share_exceeded == 0.0


def test_a_family_is_its_mean_and_says_how_many_of_it_are_exceeded(found):
    row = cell(found, "random", "equal_norm", "ALL")
    assert row.members == 2 and row.rival_value == pytest.approx((0.125 + 0.875) / 2)
    assert row.difference == pytest.approx(0.125) and row.share_exceeded == 0.5


def test_in_the_target_less_is_more():
    rows = comparisons(table(ANSWERS, "ours", "rl@1"), steering("rl@1"), target="rl", seed=3, draws=50)
    assert cell(rows, "size", "own_dose", "ALL").share_exceeded == 1.0
    assert cell(rows, "size", "equal_norm", "ALL").share_exceeded == 0.0


def test_of_the_steering_only_truth_and_header_take_part(found):
    assert set(found["rival"]) == {"size", "random", "truth"}
    assert cell(found, "truth", "own_dose", "ALL").difference == 0


def test_pairs_are_of_one_prompt(found):
    """Rows in another order are the same table; the discovery half is not read."""
    rows = table(ANSWERS, "ours", "base").sample(frac=1, random_state=0)
    other = pd.concat([rows, table(ANSWERS, "ours", "base", half="discovery")], ignore_index=True)
    again = comparisons(other, steering("base"), target="rl", seed=3, draws=200)
    keys = ["rival", "form", "task", "metric"]
    pd.testing.assert_frame_equal(*(t.sort_values(keys, ignore_index=True) for t in (found, again)))


def test_an_interval_is_that_of_a_paired_bootstrap(found):
    row = cell(found, "size", "equal_norm", "max")
    difference_N = np.array([0, 0, 1, 0])
    assert row.lo == 0 and row.hi <= 1 and row.difference == difference_N.mean()


def test_nothing_edited_has_no_rows_and_other_prompts_are_refused():
    assert comparisons(pd.DataFrame(), steering("base"), target="rl", seed=0, draws=10).columns.tolist() == COLUMNS
    rows = table(ANSWERS, "ours", "base").replace({"max0": "max9"})
    with pytest.raises(ValueError, match="not run on the same prompts"):
        comparisons(rows, steering("base"), target="rl", seed=0, draws=10)

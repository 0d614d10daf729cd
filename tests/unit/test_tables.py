"""Summary tables against numbers worked out by hand."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from rlgen.behaviour.tables import COLUMNS as BEHAVIOUR_COLUMNS
from rlgen.behaviour.tables import accuracy_table
from rlgen.features.tables import read_set
from rlgen.files import ArtifactError
from rlgen.interventions.tables import COLUMNS, effects_table
from rlgen.stats import task_resamples
from rlgen.tables import METRICS, in_categories, numbered, prompts_by_condition, stacked

TASKS = {"max": "selection", "cnt": "selection", "par": "unseen"}
# Right answers per state and task on the samples p0, p1, p2, p3 of the test half.
ANSWERS = {
    "base": {"max": "1000", "cnt": "0000", "par": "0101"},
    "rl": {"max": "1110", "cnt": "1100", "par": "0101"},
}


def rows(answers: dict[str, str], half: str = "test", order: str = "0123", **labels) -> pd.DataFrame:
    """Per-sample rows; answer_logprob is minus the sample's number, kl twice that."""
    table = [
        {"task": task, "role": TASKS[task], "half": half, "sample": f"p{i}", "correct": right[int(i)] == "1"}
        | {"format_blind": True, "answer_logprob": -float(i), "kl": 2 * float(i)}
        for task, right in answers.items()
        for i in order
    ]
    return pd.DataFrame(table).assign(**labels)


def behaviour() -> pd.DataFrame:
    states = [("rl@1", 1, 0.5, ANSWERS["base"], "3210"), ("rl", 2, 1.0, ANSWERS["rl"], "0123")]
    return pd.concat(
        rows(a, half, order, model="rl", state=s, checkpoint=c, steps_share=x)
        for (s, c, x, a, order), half in itertools.product(states, ("discovery", "test"))
    )


def pick(table: pd.DataFrame, **where) -> pd.Series:
    """The one row with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, f"{len(table)} rows"
    return table.iloc[0]


def test_accuracies_by_hand():
    table = accuracy_table(behaviour(), seed=3, draws=200)
    assert list(table) == BEHAVIOUR_COLUMNS
    assert len(table) == 2 * 2 * 3 * (3 + 2)  # states, halves, metrics, tasks and role means
    one = pick(table, state="rl", task="max", half="test", metric="accuracy")
    assert (one["value"], one["n"], one["checkpoint"], one["steps_share"], one["seed"]) == (0.75, 4, 2, 1.0, 3)
    mean = pick(table, state="rl", task="ALL", role="selection", half="test", metric="accuracy")
    assert (mean["value"], mean["n"]) == (0.625, 8)
    assert mean["lo"] < 0.625 < mean["hi"]
    assert pick(table, state="rl@1", task="par", half="test", metric="answer_logprob")["value"] == -1.5
    certain = pick(table, state="rl@1", task="cnt", half="test", metric="accuracy")
    assert (certain["lo"], certain["value"], certain["hi"]) == (0, 0, 0)
    pd.testing.assert_frame_equal(table, accuracy_table(behaviour(), seed=3, draws=200))
    one_way = accuracy_table(behaviour().drop(columns="format_blind"), seed=3, draws=200)
    pd.testing.assert_frame_equal(one_way, table[table["metric"] != "format_blind"].reset_index(drop=True))


def test_steps_and_guesses_have_rows_of_their_own():
    """Shares of steps are averaged like right answers."""
    rows = behaviour().assign(own_format=0.25, guess=lambda t: t["sample"] == "p0", own_format_guess=0.5)
    rows.loc[(rows["state"] == "rl") & (rows["sample"] == "p3"), "own_format"] = 1.0
    table = accuracy_table(rows, seed=3, draws=200)
    assert len(table) == 2 * 2 * 6 * (3 + 2)
    where = {"task": "ALL", "role": "selection", "half": "test"}
    assert pick(table, state="rl", metric="own_format", **where)["value"] == (3 * 0.25 + 1) / 4
    assert pick(table, state="rl@1", metric="guess", **where)["value"] == 0.25
    assert pick(table, state="rl", metric="own_format_guess", **where)["value"] == 0.5


def interventions() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Edits of base on the test half, and the unedited rows of both models."""
    common = {"procedure": "ours", "state": "base", "edit": "exchange", "form": "own_dose", "dose": 2.0, "chosen": True}
    chosen = rows({"max": "0110", "cnt": "1000", "par": "0101"}, order="2013", set="selected", **common)
    random = rows(ANSWERS["base"], set="random-00", **common).assign(kl=np.nan)
    steering = {"procedure": "steering", "edit": "none", "set": "none", "form": "own_dose", "dose": 0.0, "chosen": True}
    unedited = [rows(answers, state=state, **steering) for state, answers in ANSWERS.items()]
    return pd.concat([chosen, random]), pd.concat(unedited)


def effects(**options) -> pd.DataFrame:
    edited, unedited = interventions()
    settings = {"reference": "base", "target": "rl", "same_goal": True, "seed": 0, "draws": 300} | options
    return effects_table(edited, unedited, **settings)


def test_effects_by_hand():
    table = effects()
    assert list(table) == COLUMNS
    one = pick(table, set="selected", task="max", subset="half", metric="accuracy")
    assert (one["value"], one["change"], one["n"]) == (0.5, 0.25, 4)
    assert (one["wrong_to_right"], one["right_to_wrong"]) == (2, 1)
    mean = pick(table, set="selected", task="ALL", role="selection", subset="half", metric="accuracy")
    assert (mean["value"], mean["change"], mean["n"]) == (0.375, 0.25, 8)
    assert (mean["wrong_to_right"], mean["right_to_wrong"]) == (3, 1)
    assert mean["change_lo"] <= mean["change"] <= mean["change_hi"]
    assert pick(table, set="selected", task="par", subset="half", metric="answer_logprob")["change"] == 0


def test_critical_prompts_are_wrong_in_the_reference_and_right_in_the_target():
    table = effects()
    one = pick(table, set="selected", task="max", subset="critical", metric="accuracy")
    assert (one["n"], one["value"], one["change"]) == (2, 1.0, 1.0)  # p1 and p2
    mean = pick(table, set="selected", task="ALL", role="selection", subset="critical", metric="accuracy")
    assert (mean["n"], mean["value"]) == (4, 0.75)
    assert table[(table["role"] == "unseen") & (table["subset"] == "critical")].empty  # no such prompt in par


def test_numerous_controls_keep_role_means_only():
    table = effects()
    random = table[table["set_kind"] == "random"]
    assert set(random["task"]) == {"ALL"} and set(random["metric"]) == {"accuracy", "format_blind"}
    assert set(table.loc[table["set_kind"] == "selected", "metric"]) == {
        "accuracy",
        "format_blind",
        "answer_logprob",
        "kl",
    }


def by_hand(rows: pd.DataFrame, before: pd.DataFrame, column: str, draws: int) -> dict[str, float]:
    """Mean over tasks of one condition's prompts and of their change, with intervals: loops over prompts and draws."""
    means, changes = [], []
    for task, own in rows.groupby("task"):
        before_of = before.set_index(["task", "sample"])[column].astype(float)
        pairs = [(float(r[column]), before_of[task, r["sample"]]) for _, r in own.sort_values("sample").iterrows()]
        weights_DN = task_resamples(len(pairs), draws, 0, task, "test", "half")
        means.append([sum(w * a for w, (a, _) in zip(row, pairs, strict=True)) for row in weights_DN])
        changes.append([sum(w * (a - b) for w, (a, b) in zip(row, pairs, strict=True)) for row in weights_DN])
    (lo, hi), (change_lo, change_hi) = (
        np.percentile([np.mean(by_task) for by_task in zip(*drawn, strict=True)], [2.5, 97.5])
        for drawn in (means, changes)
    )
    return {"lo": lo, "hi": hi, "change_lo": change_lo, "change_hi": change_hi}


def test_every_interval_is_that_of_a_loop_over_prompts_whatever_the_order_of_rows():
    edited, unedited = interventions()
    other = edited[edited["set"] == "random-00"].assign(set="random-01", correct=True)
    edited = pd.concat([edited, other]).sample(frac=1, random_state=3)
    table = effects_table(edited, unedited, reference="base", target="rl", same_goal=True, seed=0, draws=100)
    table = table[table["subset"] == "half"]
    assert len(table) == 2 * 2 + 2 * 2 + 4 * 3 + 4 * 2  # random sets: two metrics, two roles; the set: four, and tasks
    for _, row in table.iterrows():
        one = (edited["set"] == row["set"]) & (edited["role"] == row["role"])
        own = edited[one & (edited["task"].eq(row["task"]) | (row["task"] == "ALL"))]
        found = by_hand(own, unedited[unedited["state"] == "base"], METRICS[row["metric"]], 100)
        assert row[list(found)].astype(float).to_dict() == pytest.approx(found, abs=1e-12)
        assert row["n"] == len(own)


def test_texts_become_the_same_sorted_categories_in_all_tables():
    tables = [pd.DataFrame({"set": ["b", "a", None], "x": [1, 2, 3]}), pd.DataFrame({"set": ["c", "b", "c"]})]
    coded = in_categories(tables, ["set"])
    assert [list(table["set"].cat.categories) for table in coded] == [["a", "b", "c"]] * 2
    assert [list(table["set"].cat.codes) for table in coded] == [[1, 0, -1], [2, 1, 2]]
    assert list(tables[1]["set"]) == ["c", "b", "c"] and list(coded[0]["x"]) == [1, 2, 3]


def test_combinations_are_numbered_as_they_appear():
    table = pd.DataFrame({"set": ["b", "a", "b", "a", "b"], "dose": [2.0, 1.0, 2.0, 2.0, 1.0]}, index=list("vwxyz"))
    number_R, first = numbered(table, ["set", "dose"])
    assert number_R.tolist() == [0, 1, 0, 2, 3] and first.tolist() == [0, 1, 3, 4]
    assert [len(x) for x in numbered(table[:0], ["set", "dose"])] == [0, 0]


def test_the_unedited_model_changes_nothing():
    _, unedited = interventions()
    table = effects_table(unedited, unedited, reference="base", target="rl", same_goal=True, seed=0, draws=100)
    assert (table[["change", "change_lo", "change_hi"]] == 0).all(axis=None)
    assert set(table["set_kind"]) == {"none"}


def test_a_divergence_to_another_goal_is_not_compared():
    kl = effects(same_goal=False).query("metric == 'kl'")
    assert len(kl) and kl["change"].isna().all() and kl["value"].notna().all()


def test_an_empty_set_has_no_effects():
    edited, unedited = interventions()
    table = effects_table(edited[:0], unedited, reference="base", target="rl", same_goal=True, seed=0, draws=10)
    assert list(table) == COLUMNS and table.empty


def test_missing_prompts_are_refused():
    edited, unedited = interventions()
    with pytest.raises(ValueError, match="not run on the same prompts"):
        effects_table(edited[1:], unedited, reference="base", target="rl", same_goal=True, seed=0, draws=10)
    with pytest.raises(ValueError, match="no unedited rows of rl"):
        effects_table(
            edited,
            unedited[unedited["state"] == "base"],
            reference="base",
            target="rl",
            same_goal=True,
            seed=0,
            draws=10,
        )
    with pytest.raises(ValueError, match="answered twice"):
        prompts_by_condition(pd.concat([edited, edited]), "set", "correct")


def test_stacked_tables_say_which_job_they_are_from():
    tables = [pd.DataFrame({"seed": [9], "x": [1.5]}), pd.DataFrame({"x": []}), pd.DataFrame({"x": [2.5]})]
    table = stacked(tables, [{"seed": i} for i in range(3)])
    assert table.to_dict("list") == {"seed": [0, 2], "x": [1.5, 2.5]}


def test_sets_become_rows(tmp_path):
    shares = {"carried_share": 0.5, "features_share": 0.9}
    task = {"critical": 4, "latents": [7], "shift_norm": 1.0} | shares | {"bias_share": 0.0, "error_share": 0.1}
    found = {"latents": [7, 2], "critical": {"max": 4, "cnt": 1}, "note": None} | shares
    (tmp_path / "set.json").write_text(json.dumps(found | {"tasks": {"max": task, "cnt": task | {"latents": []}}}))
    table = read_set(tmp_path / "set.json")
    assert table["task"].tolist() == ["ALL", "max", "cnt"] and table["size"].tolist() == [2, 1, 0]
    assert table["latents"].tolist() == ["7 2", "7", ""] and table["critical"].tolist() == [5, 4, 4]
    (tmp_path / "set.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"set\.json: not a mediating set"):
        read_set(tmp_path / "set.json")

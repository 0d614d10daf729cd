"""Figure 10: what its title says follows from the tables."""

import numpy as np
import pandas as pd
import pytest
import synthetic_tables as made

from rlgen.figures import fig10_arms as fig10
from rlgen.figures import shared_change, taken_out

SEED = made.SEEDS[0]
PAGE = fig10.Settings.model_validate(made.SETTINGS["fig10_arms"])


@pytest.fixture
def arms():
    return made.arms()


def test_the_title_counts_arms_by_what_became_of_other_tasks(arms):
    assert fig10.sorts(PAGE, arms) == {"better": ["rl"], "as before": ["own"], "worse": ["sft"]}
    assert fig10.answer(PAGE, arms) == (
        "3 of 3 arms learn their task; on other tasks they are then: 1 better, 1 as before, 1 worse"
    )
    assert fig10.named(PAGE, arms) == "Better: rl. As before: own. Worse: sft."


def test_an_arm_that_has_not_learnt_its_task_does_not_count(arms):
    arms.loc[arms["model"] == "sft", "in_domain"] = 0.5
    assert fig10.answer(PAGE, arms).startswith("2 of 3 arms learn their task") and "worse" not in fig10.answer(
        PAGE, arms
    )
    assert "sft" not in fig10.named(PAGE, arms)
    assert (
        fig10.answer(PAGE, arms.assign(in_domain=0.1)) == "No arm has learnt its task (80% right): nothing to compare"
    )


def test_correlations_are_those_over_all_seeds(arms):
    told = fig10.finding(PAGE, made.explained())
    assert "KL −.20 [−.40, +.00], displacement +.10 [−.10, +.30], in-domain accuracy +.60 [+.40, +.80]" in told
    empty = made.explained().assign(value=float("nan"))
    assert "KL –, displacement –" in fig10.finding(PAGE, empty)


def test_a_study_without_unseen_tasks_is_drawn(arms):
    figure = fig10.appendix(
        PAGE, arms.assign(unseen=float("nan")), made.explained().query("role == 'selection'"), made.as_far()
    )
    said = [text.get_text() for part in figure.subfigs for ax in part.get_axes() for text in ax.texts]
    assert said.count("no unseen tasks") == 2


def test_arms_are_named_where_they_have_moved_as_far_as_the_target():
    assert fig10.moved_as_far(PAGE, made.as_far()) == "Where they have moved as far as rl, selection tasks: sft .20."
    assert fig10.moved_as_far(PAGE, made.as_far().assign(reached=False)) == "No arm moves as far as rl."


def test_the_third_page_has_the_set_taken_out_of_arms_beside_its_rivals():
    effects = made.effects().assign(form="own_dose")
    rows = taken_out.taken_rows(PAGE, effects)
    assert set(rows["state"]) == {"rl", "sft"} and set(rows["set_kind"]) == {"selected", "shift-in_domain", "random"}
    one = effects[(effects["state"] == "sft") & (effects["procedure"] == "contribution") & effects["chosen"]]
    one = one[
        (one["task"] == "ALL")
        & (one["role"] == "selection")
        & (one["half"] == "test")
        & (one["metric"] == "accuracy")
        & (one["seed"] == SEED)
    ]
    random = one[one["set_kind"] == "random"]
    found = rows.query("state == 'sft' and set_kind == 'random' and role == 'selection' and seed == @SEED")[
        "change"
    ].item()
    assert len(random) == 6 and found == random["change"].mean()
    by_hand = rows.assign(change=rows["set_kind"].map({"selected": -0.3, "shift-in_domain": -0.2, "random": -0.01}))
    told = "rl's set taken out of other arms changes their selection tasks by −.30 to −.30 (rl −.30)"
    told += "; mean shift, in-domain −.20, random sets, mean −.01"
    assert taken_out.answer(PAGE, by_hand) == told
    assert taken_out.draw(PAGE, effects).subfigs
    assert taken_out.draw(PAGE.model_copy(update={"taken": []}), effects) is None


def test_the_fourth_page_says_who_has_moved_where_the_target_has(arms):
    shared, features = made.shared(), made.features()
    told = shared_change.answer(PAGE, arms, shared)
    assert told.endswith(
        "a cosine with rl's of .90 where other tasks are then as before; -.40 where other tasks are then worse"
    )
    found = shared_change.finding(PAGE, shared, features)
    assert "Sets chosen on 1 other arms add what rl's set adds with a cosine of .80; random sets of their" in found
    cosine = shared_change.matrix(shared, "change", ["rl", "own", "sft"])
    assert cosine[0, 1] == cosine[1, 0] == pytest.approx(0.8) and np.isnan(cosine[2]).all() and np.isnan(cosine[0, 0])
    assert shared_change.draw(PAGE, arms, shared, features).subfigs


def test_a_tail_is_of_the_dictionary_over_the_arm_by_the_watched_recipe():
    latents = pd.DataFrame(
        [("base-rl", "batchtopk", 3, i, i != 9, nrn, nu, nu) for i, (nrn, nu) in enumerate([(0.9, 0.1), (0.8, 0.9)])]
        + [("base-rl", "batchtopk", 3, i, i != 9, 0.5, 0.1, 0.1) for i in range(2, 11)]
        + [("base-rl", "l1", 3, 0, True, 0.9, 0.1, 0.1), ("null-more", "batchtopk", 3, 0, True, 0.9, 0.1, 0.1)],
        columns=shared_change.FEATURES,
    )
    row = shared_change.tails(PAGE, latents).iloc[0]
    assert len(shared_change.tails(PAGE, latents)) == 1
    assert (row["arm"], row["tail"], row["own"]) == ("rl", 0.2, 0.1)


def test_a_study_with_neither_dictionaries_nor_sets_of_arms_is_drawn(arms):
    shared = made.shared().query("kind == 'shift'")
    page = PAGE.model_copy(update={"dictionaries": {}})
    figure = shared_change.draw(page, arms, shared, made.features().iloc[:0])
    said = [text.get_text() for part in figure.subfigs for ax in part.get_axes() for text in ax.texts]
    assert "no set was chosen on another arm" in said and "no dictionary over the reference and one arm" in said

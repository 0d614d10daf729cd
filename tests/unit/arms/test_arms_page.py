"""Figure 10: what its title says follows from the tables."""

import pytest
import synthetic_tables as made

from rlgen.figures import fig10_arms as fig10
from rlgen.figures import taken_out

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

"""Titles state the answer that the tables hold: every branch of figures 2 to 8."""

import pandas as pd
import pytest
import synthetic_tables as made

from rlgen.figures import (
    effects,
    fig2_nrn,
    fig3_mas,
    fig4_dynamics,
    fig5_mediation,
    fig6_selection,
    fig7_unseen,
    fig8_recovery,
    rivals,
)
from rlgen.figures.page import Settings

PAGE = Settings.model_validate(made.SETTINGS["fig6_selection"])
GAP = pd.Series([0.7, 0.7, 0.7], index=made.SEEDS)


def rows(state: str, seeds=made.SEEDS, **bounds: float) -> pd.DataFrame:
    """Comparisons of the leading procedure in one state: the bounds given, for the rivals and seeds named."""
    table = made.comparisons()
    table = table[table["seed"].isin(seeds) & (table["state"] == state)]
    return table.assign(**bounds)


def plant(table: pd.DataFrame, seed: int, rival: str, difference: float) -> pd.DataFrame:
    where = (table["seed"] == seed) & (table["rival"] == rival)
    table.loc[where, ["difference", "lo", "hi"]] = (difference, difference - 0.01, difference + 0.01)
    return table


def outcome(table: pd.DataFrame, state: str, role: str = "selection") -> rivals.Outcome | None:
    return rivals.outcome(PAGE, rivals.fair(PAGE, table, "contribution", state, role), state)


@pytest.mark.parametrize("state", ["base", "rl"])
def test_ahead_and_behind_follow_the_goal_of_the_edit(state):
    """Up is better in the reference, down in the target."""
    sign = -1 if state == "rl" else 1
    table = rows(state, difference=sign * 0.1, lo=sign * 0.1 - 0.05, hi=sign * 0.1 + 0.05)
    assert outcome(table, state)[:3] == (3, 3, 0)
    table = plant(table, 1, "size", -sign * 0.1)
    assert outcome(table, state)[:3] == (3, 2, 1)
    assert outcome(plant(table, 2, "nrn", 0.0), state)[:3] == (3, 1, 1)
    assert outcome(plant(table, 0, "alive", -sign * 0.3), state)[:3] == (3, 1, 1)  # no rival but a bound
    assert outcome(table.iloc[:0], state) is None


def test_the_strongest_rival_has_the_largest_mean_effect():
    table = rows("base")
    assert outcome(table, "base").strongest == "shift-selection"
    table.loc[table["rival"] == "nrn", "rival_change"] = 0.5
    assert outcome(table, "base").strongest == "nrn"
    assert outcome(rows("rl").assign(rival_change=lambda t: -t["rival_change"]), "rl").strongest == "rotated"


@pytest.mark.parametrize(
    ("ahead", "behind", "n", "words"),
    [
        (3, 0, 3, "ahead of every rival in each of 3 seeds"),
        (0, 3, 3, "behind some rival in each of 3 seeds"),
        (0, 0, 3, "level with the strongest rival in each of 3 seeds"),
        (1, 1, 3, "ahead of every rival in 1 of 3 seeds, behind some rival in 1"),
        (1, 0, 1, "ahead of every rival"),
        (0, 1, 1, "behind some rival"),
        (0, 0, 1, "level with the strongest rival"),
    ],
    ids=str,
)
def test_outcomes_in_words(ahead, behind, n, words):
    assert rivals.compared(rivals.Outcome(n, ahead, behind, "size")) == words


def test_changes_come_by_seed_in_units_of_the_gap():
    """The set adds .35, .36, .37 in base, the in-domain shift .33 in every seed, of gaps of .7."""
    table = rivals.fair(PAGE, rows("base"), "contribution", "base", "selection")
    assert list(rivals.changes(table)) == pytest.approx([0.35, 0.36, 0.37])
    assert list(rivals.changes(table, scale=GAP)) == pytest.approx([0.5, 0.36 / 0.7, 0.37 / 0.7])
    shares = rivals.changes(table, "shift-in_domain", GAP * [1, 1, float("nan")])
    assert list(shares.index) == list(made.SEEDS) and list(shares.dropna()) == pytest.approx([0.33 / 0.7] * 2)


def test_procedures_that_edit_stand_with_the_leading_one_first():
    assert rivals.edited(PAGE, ["sft"]) == ["contribution", "dedicated", "forgetting"]
    page = PAGE.model_copy(update={"leading": "forgetting"})
    assert rivals.edited(page, ["sft"]) == ["forgetting", "contribution", "dedicated"]
    assert rivals.edited(page, ["base", "rl"]) == ["contribution", "dedicated", "published"]


def test_title_of_fig6():
    table, controls = made.comparisons(), made.controls()
    said = fig6_selection.answer(PAGE, table, controls, GAP)
    assert said.startswith("12 features close .51 of the gap from base to rl")  # .36 / .7
    assert said.endswith(", less than one vector does, the mean shift on selection tasks (.57)")
    assert "Amplified in base the set is behind some rival in each of 3 seeds" in fig6_selection._numbers(
        PAGE, table, GAP
    )
    assert fig6_selection.answer(PAGE, table, controls, -GAP).startswith("There is no gap to close")
    assert fig6_selection.answer(PAGE, table, controls, GAP.iloc[:0]).startswith("There is no gap to close")
    none = PAGE.model_copy(update={"leading": "published"})
    assert fig6_selection.answer(none, table, controls, GAP) == "published has no set to amplify in base"
    assert fig6_selection.answer(PAGE.model_copy(update={"leading": None}), table, controls, GAP).startswith("No proc")


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([0.1, 0.1, 0.1], "more than the in-domain mean shift"),
        ([-0.1, -0.1, -0.1], "less than the in-domain mean shift"),
        ([0.1, -0.1, 0.0], "no more than the in-domain mean shift"),
        ([0.0, 0.0, 0.0], "no more than the in-domain mean shift"),
        ([0.1], "more than the in-domain mean shift"),
    ],
    ids=str,
)
def test_title_of_fig7(differences, words):
    table = rows("base", seeds=made.SEEDS[: len(differences)])
    for seed, value in zip(made.SEEDS, differences, strict=False):
        table = plant(table, seed, "shift-in_domain", value)
    said = fig7_unseen.answer(PAGE, table)
    assert said.startswith("On unseen tasks the set gains +.3") and f", {words} (+.3" in said
    whole = fig7_unseen.answer(PAGE, pd.concat([table, rows("rl")]))
    assert "; taken out, it costs the trained task" in whole and "taken out" not in said
    alone = fig7_unseen.answer(PAGE, table[table["rival"] == "size"])
    assert alone.endswith("the in-domain mean shift was not tried")
    assert fig7_unseen.answer(PAGE, table.iloc[:0]) == "contribution has no set to amplify in base"


@pytest.mark.parametrize(
    ("jaccards", "words"),
    [
        ([0.4, 0.4, 0.4], "beyond 97.5 % of chance in 3 of 3 seeds."),
        ([0.1, 0.1, 0.3], "beyond 97.5 % of chance in none of 3 seeds."),  # .3 is its end
        ([0.4], "beyond 97.5 % of chance in 1 of 1 seed."),
    ],
    ids=str,
)
def test_title_of_fig5(jaccards, words):
    page = fig5_mediation.Settings.model_validate(made.SETTINGS["fig5_mediation"])
    row = {"procedure": "contribution", "chance_mean": 0.2, "chance_lo": 0.1, "chance_hi": 0.3}
    all_tasks, two = ({"task_a": a, "task_b": b} for a, b in (("ALL", None), ("max", "cnt")))
    table = [row | all_tasks | {"seed": i, "jaccard": j, "population": "critical"} for i, j in enumerate(jaccards)]
    table += [row | two | {"seed": 0, "jaccard": j, "population": "critical"} for j in (0.5, 0.7)]
    table += [row | all_tasks | {"seed": 0, "jaccard": 0.25, "population": "noncritical"}]
    overlap = pd.DataFrame(table)
    whole, pairs = fig5_mediation.of_all(overlap), fig5_mediation.of_pairs(overlap)
    mean = f"{sum(jaccards) / len(jaccards):.2f}"[1:]
    assert fig5_mediation.answer(page, whole, pairs) == (
        f"Two tasks share .60 of their features, +.40 beyond chance; all 5 share {mean} (chance .20)"
    )
    said = fig5_mediation._beyond(whole)
    assert words in said and said.endswith("that both models get right share .25.")
    assert fig5_mediation.answer(page, whole.iloc[:0], pairs) == "contribution has no lists to compare"


@pytest.mark.parametrize(
    ("cosines", "words"),
    [
        ([0.7, 0.7, 0.7], "points along the planted cause beyond random sets in each of 3 seeds (cosine .70)"),
        ([0.2, 0.2, 0.2], "points along the planted cause no more than random sets do (cosine .20)"),
        ([0.7, 0.2, 0.2], "points along the planted cause beyond random sets in 1 of 3 seeds"),
        ([0.7], "points along the planted cause beyond random sets (cosine"),
        ([], "contribution has no set to hold against the planted cause"),
    ],
    ids=str,
)
def test_title_of_fig8(cosines, words):
    row = {"procedure": "contribution", "quantity": "cosine", "task": "ALL", "chance": 0.1, "chance_hi": 0.25}
    table = pd.DataFrame(
        [row | {"seed": i, "value": c} for i, c in enumerate(cosines)], columns=[*row, "seed", "value"]
    )
    assert words in fig8_recovery.answer(PAGE, table)
    shift = pd.DataFrame(
        [row | {"procedure": "shift-in_domain", "seed": i, "value": v} for i, v in enumerate((0.1, 0.9))]
    )
    both = fig8_recovery.answer(PAGE, pd.concat([table, shift]))
    assert both.endswith("; the mean shift does in 1 of 2 seeds (.50)") == bool(cosines)


def test_the_gap_is_between_unedited_models():
    table = effects.reported(made.effects())
    assert list(rivals.gaps(PAGE, table, "selection").round(2)) == [0.74, 0.71, 0.68]


def test_refusals_are_said_by_seed():
    controls = made.controls().assign(refused=None)
    controls.loc[(controls["procedure"] == "contribution") & (controls["seed"] == 2), "refused"] = "a small pool"
    assert rivals.refusals(controls, "contribution", "base") == {2: "a small pool"}
    assert rivals.sizes(controls, "contribution") == "12"
    controls.loc[controls["seed"] == 1, "set_size"] = 30
    assert rivals.sizes(controls, "contribution") == "12 to 30"


@pytest.mark.parametrize(
    ("rl", "sft", "words"),
    [
        (
            [1, 1],
            [10, 20],
            "rl adds fewer specific latents than sft in each of 2 seeds (.01 against .15 of the alive)",
        ),
        ([10, 20], [1, 1], "rl adds more specific latents than sft in each of 2 seeds (.15 against .01"),
        ([1, 20], [10, 1], "rl adds fewer specific latents than sft in 1 of 2 seeds, more in 1 "),
        ([1, 1], [1, 1], "rl adds as many specific latents as sft (.01"),
        ([1], [10], "rl adds fewer specific latents than sft (.01"),
        ([1], [], ".01 of the alive latents are specific to rl"),
        ([], [10], "No alive latents of rl to judge"),
    ],
    ids=str,
)
def test_title_of_fig2(rl, sft, words):
    page = fig2_nrn.Settings.model_validate(made.SETTINGS["fig2_nrn"] | {"recipes": {"l1": "L1"}})
    tails = [("base-rl", seed, n) for seed, n in enumerate(rl)] + [("base-sft", seed, n) for seed, n in enumerate(sft)]
    table = pd.DataFrame(tails, columns=["dictionary", "seed", "tail"]).assign(recipe="l1", alive=100)
    assert fig2_nrn.answer(page, table).startswith(words)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (
            [(0.3, 0.4, 0.3)] * 9 + [(0.1, 0.8, 0.1)],
            "Most latents belong to no single model (L1 .90); sft owns most of the rest (.10)",
        ),
        ([(0.3, 0.4, 0.3)] + [(0.8, 0.1, 0.1)] * 2, "Most latents belong to one model: base owns .67"),
        ([], "No alive latents to divide among the models"),
    ],
    ids=str,
)
def test_title_of_fig3(shares, words):
    page = fig3_mas.Settings.model_validate(made.SETTINGS["fig3_mas"] | {"recipes": {"l1": "L1"}})
    table = pd.DataFrame(shares, columns=[f"mas_l1_{i}" for i in range(3)]).assign(recipe="l1")
    assert fig3_mas.answer(page, table).startswith(words)
    if shares:
        both = page.model_copy(update={"recipes": {"l1": "L1", "batchtopk": "BatchTopK"}})
        other = table.iloc[:1].assign(recipe="batchtopk", mas_l1_0=0.4, mas_l1_1=0.3, mas_l1_2=0.3)
        assert "BatchTopK 1.0); " in fig3_mas.answer(both, pd.concat([table, other]))


@pytest.mark.parametrize(
    ("sft", "rl", "words"),
    [
        (
            [0.9, 0.8],
            [0.5, 0.4],
            "sft settles first: at its first checkpoint .85 of sft's and .45 of rl's final top 50 features are",
        ),
        (
            [0.5, 0.4],
            [0.9, 0.8],
            "rl settles first: at its first checkpoint .45 of sft's and .85 of rl's final top 50 features are",
        ),
        ([0.9, 0.4], [0.5, 0.8], "Neither settles first: at its first checkpoint .65 of sft's and .65 of rl's"),
        ([0.9], [0.9], "Neither settles first: at its first"),
        ([0.9], [0.5], "sft settles first: at its first"),
        ([0.9], [], "At its first checkpoint .90 of sft's final top 50 features are in place"),
        ([], [], "No lists over training to compare"),
    ],
    ids=str,
)
def test_title_of_fig4(sft, rl, words):
    page = fig4_dynamics.Settings.model_validate(made.SETTINGS["fig4_dynamics"])
    cells = [(m, seed, v) for m, values in (("sft", sft), ("rl", rl)) for seed, v in enumerate(values)]
    table = pd.DataFrame(cells, columns=["model", "seed", "value"]).assign(kind="overlap", reading="joint", a=1, b=5)
    said = fig4_dynamics.answer(page, pd.concat([table, table.assign(a=5, value=1.0)]))
    assert said.startswith(words)

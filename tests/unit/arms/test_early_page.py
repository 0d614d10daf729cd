"""Figure 11: its sentences, from tables made by hand."""

import pytest
import synthetic_tables as made

from rlgen.figures import fig11_early as fig11

PAGE = fig11.Settings.model_validate(made.SETTINGS["fig11_early"])


@pytest.fixture
def foretold():
    return made.foretold()


@pytest.fixture
def accuracy():
    table = made.aimed_accuracy()
    ends = {"base": 0.2, "rl": 0.8, "sft": 0.1, "aim-set": 0.5, "aim-random": 0.26, "hold-set": 0.2}
    return table.assign(value=table["model"].map(ends).fillna(0.0))


def test_the_title_compares_the_set_with_in_domain_accuracy_and_with_its_best_rival(foretold, accuracy):
    assert fig11.answer(PAGE, foretold, accuracy) == (
        "At the first checkpoint the set's reading (+.82) tells who will generalize better than all its rivals. "
        "Distilling its edit brings .50 of rl's gain, a random set .10."
    )
    beaten = foretold.assign(beyond_lo=-0.4)
    assert "generalize no better than in-domain accuracy (+.22). D" in fig11.answer(PAGE, beaten, accuracy)
    random = foretold["predictor"].str.startswith("random-")
    beaten["value"] = beaten["value"].where(~random, 0.9)
    found = fig11.answer(PAGE, beaten, accuracy)
    assert "no better than in-domain accuracy (+.22) or random sets (+.90). D" in found


def test_the_panel_on_sft_says_whether_holding_helps(accuracy):
    scored = fig11.scores(accuracy, "selection")
    assert fig11.held_answer(PAGE, scored) == "SFT held to the set keeps more"
    same = scored.assign(value=0.1)
    assert fig11.held_answer(PAGE, same) == "SFT held to the set forgets all the same"
    assert fig11.held_answer(PAGE, same[same["model"] != "hold-set"]) == "SFT, held to what an edit reads"


def test_shares_are_of_the_targets_gain_over_the_reference(accuracy):
    shares = fig11.gains(PAGE, fig11.scores(accuracy, "selection"))
    assert shares == pytest.approx({"rl": 1, "sft": -1 / 6, "aim-set": 0.5, "aim-random": 0.1, "hold-set": 0})
    flat = accuracy.assign(value=0.5)  # no gain, so no share of it
    assert fig11.gains(PAGE, fig11.scores(flat, "selection")) == {}
    assert fig11.aim_answer(PAGE, fig11.scores(flat, "selection")) == ""


def test_the_best_rival_is_the_one_that_brings_most(foretold, accuracy):
    models = PAGE.models | {"aim-size": PAGE.models["aim-random"].model_copy(update={"set": "size"})}
    page = PAGE.model_copy(update={"models": models})
    rows = accuracy[accuracy["model"] == "aim-random"].assign(model="aim-size", value=0.9)
    told = fig11.aim_answer(page, fig11.scores(made.pd.concat([accuracy, rows]), "selection"))
    assert told == "Distilling its edit brings .50 of rl's gain, set chosen by size 1.17."


def test_what_is_missing_is_said_and_drawn_over(foretold, accuracy):
    nothing = foretold.assign(value=float("nan"))
    assert fig11.answer(PAGE, nothing, accuracy).startswith("The set's reading foretells nothing. Distilling")
    alone = PAGE.model_copy(update={"models": {"rl": PAGE.models["rl"]}})
    assert fig11.answer(alone, foretold, accuracy).endswith("better than all its rivals.")
    for page, told, scored in ((alone, foretold, accuracy), (PAGE, nothing, accuracy.query("role != 'unseen'"))):
        assert fig11.draw(page, told, scored).subfigs and fig11.appendix(page, told, scored).subfigs

"""The page and table of variants: the computed sentence, changed verdicts, what is not there."""

import numpy as np
import pytest
import synthetic_tables
from matplotlib.text import Text

from rlgen.figures import fig9_sensitivity as fig9
from rlgen.figures import tables, variants

SETTINGS = fig9.Settings.model_validate(synthetic_tables.SETTINGS["fig9_sensitivity"])


@pytest.fixture
def table():
    return synthetic_tables.sensitivity()


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def test_the_sentence_says_which_factors_matter_and_where_the_set_is_found_again(table):
    said = variants.finding(SETTINGS, variants.readable(table))
    assert "moves by less than .10 with dictionary-seed, size; by more with objective (lasso −.30)" in said
    assert said.endswith(
        "overlaps with the main one beyond chance in all seeds with dictionary-seed, size; not with objective."
    )
    assert "A null dictionary (permuted): −.50." in said and "null-dictionary" not in said


@pytest.mark.parametrize(("moved", "matters"), [(0.09, False), (-0.1, True), (0.11, True)])
def test_the_margin_itself_is_enough_to_matter(table, moved, matters):
    where = (table["quantity"] == "against_main") & (table["variant"] == "size-64")
    table.loc[where, "value"] = moved
    assert ("size (size-64" in variants.finding(SETTINGS, variants.readable(table))) == matters


def test_one_variant_in_one_seed_is_enough_to_lose_the_set(table):
    where = (table["quantity"] == "overlap") & (table["variant"] == "size-512") & (table["seed"] == 1)
    table.loc[where, "value"] = 0.2  # chance reaches that
    assert "in all seeds with dictionary-seed; not with size, objective." in variants.finding(
        SETTINGS, variants.readable(table)
    )


def test_verdicts_that_differ_are_counted_over_claims_and_seeds(table):
    assert variants.changed_verdicts(variants.readable(table), "elimination")["lasso"] == (3, 3)
    assert variants.changed_verdicts(variants.readable(table), "elimination")["size-64"] == (0, 3)
    table.loc[(table["quantity"] == "verdict") & (table["variant"] == "size-64") & (table["seed"] == 2), "note"] = (
        "no data: x"
    )
    assert variants.changed_verdicts(variants.readable(table), "elimination")["size-64"] == (1, 3)
    assert variants.changed_verdicts(variants.readable(table[table["variant"] != "elimination"]), "elimination") == {}


def test_a_variant_without_edits_or_set_says_nothing(table):
    gone = table[~((table["variant"] == "lasso") & table["quantity"].isin(["effect", "overlap", "direction"]))]
    text = words(fig9.draw(SETTINGS, gone))
    assert text.count("nothing") == 5 and "16 | 3/3" in text and "main: elimination" in text


def test_what_is_missing_is_said_in_the_order_of_rows(table):
    """A set of names has another order in every process, and the page's bytes would have, too."""
    axes = fig9.draw(SETTINGS, table.iloc[:0]).findobj(lambda a: hasattr(a, "patches") and hasattr(a, "get_xlim"))
    places = fig9.rows_of(SETTINGS)[0]
    for ax in axes:
        assert [t.get_position()[1] for t in ax.texts if t.get_text() == "nothing"] == list(places.values())


def test_the_band_is_the_main_recipe_under_other_seeds(table):
    """Left: the range of the replicates' overlaps, right: the range of the main procedure's effects."""
    axes = fig9.draw(SETTINGS, table).findobj(lambda a: hasattr(a, "patches") and hasattr(a, "get_xlim"))
    left = table[(table["quantity"] == "overlap") & (table["variant"] == "seed-1")]["value"]
    band = axes[0].patches[0]
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((left.min(), left.max()))
    assert axes[2].patches[0].get_x() == pytest.approx(0.55)


def test_the_table_has_a_line_per_variant_with_everything(table):
    tidy, wide = tables.table5(SETTINGS, table)
    assert len(tidy) == len(table) and wide["variant"].tolist() == list(synthetic_tables.MOVED)
    line = wide.set_index("variant").loc["lasso"]
    assert line["changes"] == "objective l1" and line["verdicts changed"] == "3/3"
    assert line["base, selection: change"] == "+0.25 (+0.25, +0.25, +0.25)"
    assert line["base, selection: minus main"].startswith("-0.30 (")
    assert line["base, selection: minus size, own dose"].startswith("-0.15 (")
    assert line["rl, selection: change"].startswith("-0.20 (") and line["set"] == "16 (16, 16, 16)"
    assert np.isfinite(float(line["overlap by chance"].split()[0]))


def test_the_title_counts_factors_and_leaves_nulls_out(table):
    said = variants.answer(SETTINGS, variants.readable(table))
    assert said.startswith(
        "1 of 3 factors of how one looks move the effect in base by .10 or more; with 2 of 3 the set"
    )
    assert (
        variants.answer(SETTINGS, variants.readable(table.iloc[:0]))
        == "No variant was compared with the main procedure"
    )
    assert said in words(fig9.draw(SETTINGS, table))


def test_the_details_show_paired_differences(table):
    """The last panel is the set minus the size-only set at equal length: .55 + moved - .4 in base."""
    panels = {panel.title: fig9.of_panel(variants.readable(table), panel) for panel in fig9.details_of(SETTINGS)}
    size = panels["Against size, base"].set_index("variant")["value"]
    assert size["lasso"].tolist() == pytest.approx([-0.15] * 3) and set(panels["Against main, rl"]["role"]) == {
        "selection"
    }
    assert panels["The same samples?"]["quantity"].unique().tolist() == ["carried_rank"]
    text = words(fig9.appendix(SETTINGS, table))
    assert "Against main, base" in text and "both add as much" in text


def test_variants_stand_in_the_order_of_their_numbers():
    assert variants.in_order(["size-1024", "size-64", "size-256"]) == ["size-64", "size-256", "size-1024"]
    assert variants.in_order(["l1-two", "by-size", "l1-half"]) == ["by-size", "l1-half", "l1-two"]

"""Verdicts: each from a hand-made table, what plants and gaps do to them, and the tests over seeds and claims."""

import ledger_tables as made
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binomtest

from rlgen.ledger.evidence import COLUMNS, Evidence, NoData, evidence
from rlgen.ledger.intervals import Interval
from rlgen.ledger.verdicts import COLUMNS as LEDGER
from rlgen.ledger.verdicts import FAILS, HOLDS, NO_DATA, OPEN, beyond, decidable, holm, judge, sign_test, verdict

EIGHT = list(range(3, 11))


def found(name: str, tables: dict | None = None, **changes: object) -> Evidence:
    """Evidence of one claim in the first seed."""
    return evidence(made.claim(name, **changes), tables or made.tables(), made.STUDY, made.SEEDS[0])


def seeds_of(tables: dict, *names: str) -> set[str]:
    """Verdicts that single seeds were given."""
    return {said for verdicts in made.verdicts_of(tables, *names).values() for said in verdicts[:-1]}


def test_every_claim_holds_on_tables_made_for_it_and_the_refutation_fails():
    tables = made.tables(EIGHT)
    assert set(tables) == set(COLUMNS)
    for name, table in tables.items():
        assert set(COLUMNS[name]) <= set(table), name
    said = made.verdicts_of(tables, seeds=EIGHT)
    assert said.pop("same") == [NO_DATA] * 9 and said.pop("nothing") == [FAILS] * 9
    assert said == {name: [HOLDS] * 9 for name in said} and len(said) == 12


def test_three_seeds_hold_each_and_cannot_hold_together():
    said = made.verdicts_of(made.tables())
    assert said["gains"] == [HOLDS] * 3 + [OPEN] and said["nothing"] == [FAILS] * 4
    ledger = judge("small", made.claims(), made.tables(), made.STUDY, made.SEEDS)
    row = ledger[(ledger["claim"] == "gains") & (ledger["seed"] == "ALL")].iloc[0]
    assert row["p"] == 1 / 8 and row["reason"].endswith("needs 5 seeds with data, has 3")


def test_statistics_by_hand():
    assert found("contrast").interval == pytest.approx((0.8, 0.8 - np.hypot(0.02, 0.02), 0.8 + np.hypot(0.02, 0.02)))
    assert found("restrained").interval.value == pytest.approx(-0.28)  # 2 and 30 of 100 alive; dead ones do not count
    assert found("early").interval.value == pytest.approx(0.4)  # 45 and 25 of 50
    assert found("agnostic").interval == pytest.approx((0.2, 0.1, 0.3))
    assert found("compact").interval == (12, 12, 12)
    assert found("gap").interval.value == pytest.approx(0.5 / 0.6)
    assert found("gains").interval == pytest.approx((0.5, 0.47, 0.53))
    assert found("beats").interval == pytest.approx((0.2, 0.18, 0.22))
    assert found("cause").interval == pytest.approx((0.3, 0.28, 0.32))


def test_the_strongest_rival_counts_bound_by_bound_on_either_side():
    tables = made.tables()
    table = tables["comparisons"]
    table.loc[table["rival"] == "size", ["difference", "lo", "hi"]] = (0.1, 0.05, 0.35)
    table.loc[table["rival"] == "shift-in_domain", ["difference", "lo", "hi"]] = (0.12, 0.01, 0.14)
    assert found("beats", tables).interval == pytest.approx((0.1, 0.01, 0.14))
    assert found("beats", tables, above=None, below=0).interval == pytest.approx((0.3, 0.28, 0.35))


@pytest.mark.parametrize(("rival", "share"), [("size", np.nan), ("shift-in_domain", np.nan), ("random", 0.5)], ids=str)
def test_a_set_that_is_the_rival_beats_nothing(rival, share):
    """Planted: the set replaced by size-only latents, by the subtraction, by random latents."""
    tables = made.tables(EIGHT)
    planted = made.per_seed([made.comparison(rival, 0.0, 0.0, share=share)], EIGHT)
    kept = tables["comparisons"]
    tables["comparisons"] = pd.concat([kept[kept["rival"] != rival], planted])
    assert made.verdicts_of(tables, "beats", seeds=EIGHT)["beats"] == [FAILS] * 9


def test_a_set_of_random_latents_fails_wherever_it_should():
    """Planted: no effect, no alignment, no overlap; what does not depend on the set still holds."""
    tables = made.tables(EIGHT)
    tables["effects"][["change", "change_lo", "change_hi"]] = (-0.001, -0.02, 0.02)
    tables["comparisons"][["difference", "lo", "hi", "share_exceeded"]] = (-0.001, -0.02, 0.02, 0.45)
    tables["recovery"][["value", "lo", "hi"]] = (0.4, 0.38, 0.42)
    tables["overlap"]["jaccard"] = 0.19
    said = {name: verdicts[-1] for name, verdicts in made.verdicts_of(tables, seeds=EIGHT).items()}
    assert {name for name, v in said.items() if v == FAILS} == {"gap", "gains", "beats", "cause", "agnostic"}
    assert said["contrast"] == said["early"] == said["restrained"] == said["nothing"] == HOLDS


def test_a_family_must_be_exceeded_member_by_member():
    tables = made.tables()
    tables["comparisons"].loc[tables["comparisons"]["rival"] == "random", "share_exceeded"] = 0.9
    assert seeds_of(tables, "beats") == {OPEN}
    assert found("beats", tables).doubt == "exceeds 90% of 20 random"
    ledger = judge("small", made.claims("beats"), tables, made.STUDY, made.SEEDS)
    assert list(ledger["beyond"]) == [0, 0, 0, 0]  # a doubtful seed does not count for the claim


def test_a_rival_without_rows_leaves_the_claim_open_or_failed_and_says_why():
    tables = made.tables()
    kept = tables["comparisons"]
    tables["comparisons"] = kept[kept["rival"] != "random"]
    tables["controls"]["refused"] = "a pool of 20 latents, expected 36"
    assert seeds_of(tables, "beats") == {OPEN}
    assert found("beats", tables).doubt == "no rows of random, own_dose: a pool of 20 latents, expected 36"
    tables["comparisons"] = made.per_seed([made.comparison("size", -0.1)], made.SEEDS)
    assert seeds_of(tables, "beats") == {FAILS}
    with pytest.raises(NoData, match="no rows of random, own_dose: a pool of 20"):
        found("beats", tables, rivals=["random"])


@pytest.mark.parametrize("name", [name for name in made.CLAIMS if name != "same"])
def test_a_missing_table_is_no_data(name):
    tables = made.tables()
    missing = made.claim(name).tables[0]
    del tables[missing]
    with pytest.raises(NoData, match=f"the study has no table '{missing}'"):
        found(name, tables)
    assert made.verdicts_of(tables, name) == {name: [NO_DATA] * 4}


@pytest.mark.parametrize("name", [name for name in made.CLAIMS if name != "same"])
def test_an_empty_table_is_no_data(name):
    tables = {key: table.iloc[:0] for key, table in made.tables().items()}
    assert made.verdicts_of(tables, name) == {name: [NO_DATA] * 4}


@pytest.mark.parametrize("name", ["gap", "gains", "beats"])
def test_reasons_of_missing_edits(name):
    tables = made.tables()
    for table in ("effects", "comparisons"):
        tables[table] = tables[table][tables[table]["procedure"] != "mine"]
    with pytest.raises(NoData, match="no rows of mine in base on selection"):
        found(name, tables)
    tables["controls"]["refused_readout"] = "readout explains .69 of the variance, less than .8"
    with pytest.raises(NoData, match=r"readout explains \.69"):
        found(name, tables)
    tables["sets"]["size"], tables["sets"]["note"] = 0, "the lists share no latent"
    with pytest.raises(NoData, match="the set is empty: the lists share no latent"):
        found(name, tables)


def test_an_empty_set_is_not_compact():
    tables = made.tables()
    tables["sets"]["size"] = 0
    with pytest.raises(NoData, match="the set is empty"):
        found("compact", tables)


def test_a_gap_that_is_none_and_numbers_left_empty_are_no_data():
    tables = made.tables()
    tables["effects"].loc[tables["effects"]["state"] == "rl", ["value", "lo", "hi"]] = (0.31, 0.29, 0.33)
    with pytest.raises(NoData, match="rl and base hardly differ"):
        found("gap", tables)
    tables["effects"]["change_lo"] = np.nan
    with pytest.raises(NoData, match="leaves the number or its interval empty"):
        found("gains", tables)


def test_two_rows_where_one_is_meant_are_an_error_and_not_a_verdict():
    tables = made.tables()
    tables["effects"] = pd.concat([tables["effects"]] * 2)
    with pytest.raises(ValueError, match="2 rows for the chosen dose of mine in base, expected one"):
        found("gains", tables)


@pytest.mark.parametrize(
    ("bounds", "interval", "expected"),
    [
        ({"above": 0}, (0.1, 0.01, 0.2), HOLDS),
        ({"above": 0}, (0.1, 0.0, 0.2), OPEN),  # the bound itself is not beyond
        ({"above": 0}, (0.0, 0.0, 0.0), FAILS),
        ({"below": 16.5}, (16, 16, 16), HOLDS),
        ({"below": 16.5}, (17, 17, 17), FAILS),
        ({"below": -0.1}, (-0.2, -0.3, -0.05), OPEN),
        ({"within": 0.05}, (0.01, -0.04, 0.04), HOLDS),
        ({"within": 0.05}, (0.01, -0.06, 0.04), OPEN),
        ({"within": 0.05}, (-0.06, -0.08, 0.0), FAILS),
    ],
)
def test_verdict_of_a_seed(bounds, interval, expected):
    claim = made.claim("gains", **{"above": None} | bounds)
    assert verdict(claim, Evidence(Interval(*interval))) == expected
    doubted = verdict(claim, Evidence(Interval(*interval), "a rival is missing"))
    assert doubted == (OPEN if expected == HOLDS else expected)


numbers = st.floats(-2, 2)


@given(numbers, st.floats(0, 1), st.floats(0, 1), numbers, numbers)
def test_a_stricter_bound_never_helps(value, below, above, one, other):
    strength = {HOLDS: 2, OPEN: 1, FAILS: 0}
    shown = Evidence(Interval(value, value - below, value + above))
    strict, lenient = max(one, other), min(one, other)
    for bound, (hard, easy) in {"above": (strict, lenient), "below": (lenient, strict)}.items():
        verdicts = [verdict(made.claim("gains", **{"above": None, bound: b}), shown) for b in (hard, easy)]
        assert strength[verdicts[0]] <= strength[verdicts[1]]
    margins = [m for m in (min(abs(one), abs(other)), max(abs(one), abs(other))) if m > 0]
    verdicts = [strength[verdict(made.claim("gains", above=None, within=m), shown)] for m in margins]
    assert verdicts == sorted(verdicts)


@given(numbers, numbers)
def test_above_and_below_are_mirror_images(value, bound):
    above, below = made.claim("gains", above=bound), made.claim("gains", above=None, below=-bound)
    assert beyond(above, value) == beyond(below, -value)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), numbers, numbers)
def test_over_seeds_a_stricter_bound_never_helps(values, one, other):
    seeds = list(range(len(values)))
    tables = made.tables(seeds)
    tables["effects"]["change"] = tables["effects"]["seed"].map(dict(zip(seeds, values, strict=True)))
    tables["effects"]["change_lo"] = tables["effects"]["change_hi"] = tables["effects"]["change"]
    strength = {HOLDS: 2, OPEN: 1, FAILS: 0}
    said = []
    for bound in (min(one, other), max(one, other)):
        ledger = judge("small", {"gains": made.claim("gains", above=bound)}, tables, made.STUDY, seeds)
        said.append(ledger.iloc[-1])
    assert strength[said[0]["verdict"]] >= strength[said[1]["verdict"]] and said[0]["p"] <= said[1]["p"]


@pytest.mark.parametrize(("k", "n"), [(0, 3), (3, 3), (7, 8), (8, 8), (2, 5), (1, 1)])
def test_sign_test_against_scipy(k, n):
    assert sign_test(k, n) == pytest.approx(binomtest(k, n, 0.5, alternative="greater").pvalue)


def test_what_so_many_seeds_can_decide():
    assert sign_test(3, 3) == 1 / 8 and not decidable(3, 1) and decidable(5, 1)
    assert decidable(8, 12) and not decidable(8, 13)


def test_holm_by_hand():
    # sorted .01, .02, .03, .04 with factors 4, 3, 2, 1: .04, .06, .06, .06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.4]) == pytest.approx([0.8, 0.8]) and holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_definition_rejects(p_values):
    """Step down: reject while the i-th smallest p is at most level / (m - i)."""
    order, rejected = np.argsort(p_values, kind="stable"), set()
    for i, index in enumerate(order):
        if (len(p_values) - i) * p_values[index] > 0.05:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


def test_a_seed_without_data_counts_against_the_claim():
    tables = made.tables(EIGHT)
    tables["effects"] = tables["effects"][tables["effects"]["seed"] != 5]
    ledger = judge("small", made.claims("gains"), tables, made.STUDY, EIGHT)
    row = ledger.iloc[-1]
    assert (row["seeds"], row["beyond"]) == (7, 7) and row["p"] == pytest.approx(9 / 256) and row["verdict"] == HOLDS


def test_half_of_the_seeds_failing_is_a_failure():
    tables = made.tables(EIGHT)
    bad = tables["effects"]["seed"] < 7
    tables["effects"].loc[bad, ["change", "change_lo", "change_hi"]] = (-0.1, -0.2, 0.0)
    assert made.verdicts_of(tables, "gains", seeds=EIGHT)["gains"] == [FAILS] * 4 + [HOLDS] * 4 + [FAILS]
    tables["effects"].loc[tables["effects"]["seed"] == 6, ["change", "change_lo", "change_hi"]] = (0.1, 0.05, 0.2)
    assert made.verdicts_of(tables, "gains", seeds=EIGHT)["gains"][-1] == OPEN


def test_holm_corrects_within_a_heading_and_over_claims_with_data():
    ledger = judge("small", made.claims(), made.tables(EIGHT), made.STUDY, EIGHT)
    whole = ledger[ledger["seed"] == "ALL"].set_index("claim")
    assert whole.loc["gains", "p_holm"] == pytest.approx(11 / 256)  # of ours eleven have data, one has none
    assert whole.loc["nothing", "p_holm"] == 1.0 and np.isnan(whole.loc["same", "p_holm"])
    assert list(ledger.columns) == LEDGER and len(ledger) == 9 * len(made.CLAIMS)


def test_no_claims_make_an_empty_ledger():
    assert judge("small", {}, {}, made.STUDY, [0]).empty


def test_what_explains_is_read_of_the_seeds_own_row():
    tables = made.tables()
    whole = tables["explained"].iloc[:1].assign(seed="all", value=0.9, lo=0.8, hi=1.0)
    tables["explained"] = pd.concat([whole, tables["explained"]], ignore_index=True)
    assert found("moves", tables).interval == pytest.approx((-0.4, -0.42, -0.38))
    with pytest.raises(NoData, match="no row for in_domain on selection"):
        found("moves", tables, predictor="in_domain")


def test_what_foretells_is_read_at_the_first_checkpoint_without_what_in_domain_accuracy_tells():
    tables = made.tables()
    assert found("foresees", tables).interval == pytest.approx((0.3, 0.28, 0.32))
    with pytest.raises(NoData, match="no row for shift on selection"):
        found("foresees", tables, predictor="shift")
    with pytest.raises(ValidationError, match="'explains' knows no predictor set, expected kl, displacement"):
        made.claim("moves", predictor="set")
    with pytest.raises(ValidationError, match="'foretells' knows no predictor in_domain, expected kl"):
        made.claim("foresees", predictor="in_domain")


def test_robustness_takes_the_variant_that_speaks_most_against_it():
    """Variants at +.03 and -.05, each -+ .02: `within` takes the farthest value and the widest bounds."""
    assert found("robust").interval == pytest.approx((-0.05, -0.07, 0.05))
    assert found("robust", within=None, above=-0.1).interval == pytest.approx((-0.05, -0.07, -0.03))
    assert found("robust", within=None, below=0.1).interval == pytest.approx((0.03, 0.01, 0.05))


def test_a_variant_that_was_not_edited_leaves_robustness_open():
    tables = made.tables()
    rows = tables["sensitivity"]
    gone = (rows["variant"] == "large") & (rows["seed"] == made.SEEDS[0])
    refused = rows[gone].assign(quantity="refused", value=np.nan)
    tables["sensitivity"] = pd.concat([rows[~gone], refused], ignore_index=True)
    assert found("robust", tables).doubt == "not edited in base: large"
    assert made.verdicts_of(tables, "robust")["robust"][:3] == [OPEN, HOLDS, HOLDS]
    tables["sensitivity"] = rows[rows["factor"] != "size"]
    with pytest.raises(NoData, match="no variant of size was edited in base"):
        found("robust", tables)

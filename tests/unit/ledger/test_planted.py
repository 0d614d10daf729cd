"""Planted answers: the ledger says of each what was planted, and an independent recomputation says the same."""

import ledger_again
import pytest
import raw_tables
from ledger_compared import disagreements

from rlgen.files import write_csv
from rlgen.ledger.verdicts import FAILS, HOLDS, NO_DATA, OPEN

COUNTS = {"holds": 8, "size": 4, "random": 1, "lucky": 1, "refused": 4, "empty": 1}
SEEDS = {plant: list(range(10 * i, 10 * i + n)) for i, (plant, n) in enumerate(COUNTS.items())}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    """Folder and tidy tables of all seeds; those of a plant are SEEDS[plant]."""
    folder = tmp_path_factory.mktemp("plants")
    planted = {seed: plant for plant, seeds in SEEDS.items() for seed in seeds}
    raw_tables.write(folder, planted)
    return folder, raw_tables.tidy(folder, list(planted))


def judged(invented, seeds: list[int]) -> dict[tuple[str, str], tuple[str, str]]:
    """(claim, seed) -> (verdict, reason), after the recomputation has confirmed every number."""
    folder, tables = invented
    ledger = raw_tables.ledger(tables, seeds)
    write_csv(folder / "claims.csv", ledger)
    again = ledger_again.recompute(folder, raw_tables.study(seeds))
    assert disagreements(folder / "claims.csv", again, raw_tables.DRAWS) == []
    return {(row.claim, row.seed): (row.verdict, row.reason) for row in ledger.itertuples()}


@pytest.fixture(scope="module")
def every_plant(invented):
    """Plant -> claim -> verdict and reason in one seed."""
    said = judged(invented, [seeds[0] for seeds in SEEDS.values()])
    return {
        plant: {claim: v for (claim, seed), v in said.items() if seed == str(seeds[0])}
        for plant, seeds in SEEDS.items()
    }


def verdicts(said: dict, *names: str) -> list[str]:
    return [said[name][0] for name in names]


def test_a_set_that_beats_its_rivals_holds(every_plant):
    said = {name: verdict for name, (verdict, _) in every_plant["holds"].items()}
    assert said.pop("same") == NO_DATA and said.pop("nothing") == FAILS
    assert said == dict.fromkeys(said, HOLDS) and len(said) == 12


def test_where_size_alone_does_the_same_the_set_beats_nothing(every_plant):
    said = every_plant["size"]
    assert verdicts(said, "size-own", "size-equal", "all") == [FAILS] * 3
    assert verdicts(said, "random", "gains", "gap") == [HOLDS] * 3  # the effect is there; it is not the choice's


def test_where_every_random_set_does_the_same_the_set_beats_nothing(every_plant):
    assert verdicts(every_plant["random"], "random", "all") == [FAILS] * 2
    assert verdicts(every_plant["random"], "size-own", "gains") == [HOLDS] * 2


def test_where_one_random_set_in_ten_does_the_same_nothing_is_decided(every_plant):
    assert every_plant["lucky"]["random"] == (OPEN, "exceeds 90% of 10 random")
    assert verdicts(every_plant["lucky"], "all", "size-own") == [OPEN, HOLDS]


def test_where_random_sets_were_refused_the_claim_says_so(every_plant):
    assert every_plant["refused"]["all"] == (OPEN, f"no rows of random, own_dose: {raw_tables.REFUSED}")
    assert every_plant["refused"]["random"] == (NO_DATA, f"no rows of random, own_dose: {raw_tables.REFUSED}")
    assert verdicts(every_plant["refused"], "size-own", "gains") == [HOLDS] * 2


def test_an_empty_set_is_no_data_for_every_claim_about_it(every_plant):
    about_it = ["compact", "gap", "gains", "size-own", "random", "all", "cause", "nothing"]
    assert {every_plant["empty"][name] for name in about_it} == {
        (NO_DATA, "the set is empty: the tasks' lists share no latent")
    }
    assert verdicts(every_plant["empty"], "contrast", "restrained", "early") == [HOLDS] * 3


@pytest.mark.parametrize(
    ("failing", "plant", "overall"),
    [(0, "size", HOLDS), (1, "size", OPEN), (3, "size", OPEN), (4, "size", FAILS), (4, "refused", OPEN)],
    ids=str,
)
def test_seeds_that_disagree(invented, failing, plant, overall):
    """Eight of eight seeds are p = 1/256; seven are 9/256, too much after Holm; half of them failing is failure."""
    said = judged(invented, SEEDS[plant][:failing] + SEEDS["holds"][failing:])
    assert said["all", "ALL"][0] == overall
    assert said["gains", "ALL"][0] == HOLDS  # whatever the rivals do


@pytest.mark.parametrize(
    ("claim", "seed", "column", "change"),
    [("gap", "0", "value", 0.01), ("all", "0", "lo", 0.1), ("restrained", "0", "hi", 1e-4), ("gains", "ALL", "p", 0.1)],
    ids=str,
)
def test_the_recomputation_finds_a_wrong_number(invented, tmp_path, claim, seed, column, change):
    folder, tables = invented
    ledger = raw_tables.ledger(tables, [0])
    ledger.loc[(ledger["claim"] == claim) & (ledger["seed"] == seed), column] += change
    write_csv(tmp_path / "claims.csv", ledger)
    again = ledger_again.recompute(folder, raw_tables.study([0]))
    (line,) = disagreements(tmp_path / "claims.csv", again, raw_tables.DRAWS)
    assert line.startswith(f"{claim}, seed {seed}: {column} ")


def test_the_recomputation_finds_a_wrong_verdict(invented, tmp_path):
    folder, tables = invented
    seed = SEEDS["size"][0]
    ledger = raw_tables.ledger(tables, [seed])
    ledger["verdict"] = ledger["verdict"].replace(FAILS, HOLDS)
    write_csv(tmp_path / "claims.csv", ledger)
    found = disagreements(
        tmp_path / "claims.csv", ledger_again.recompute(folder, raw_tables.study([seed])), raw_tables.DRAWS
    )
    assert {f"{claim}, seed {seed}: holds, again fails" for claim in ("size-own", "nothing")} <= set(found)

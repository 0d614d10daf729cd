"""Claims in a study's file: what is refused, with which words, and what the rule is told."""

import copy

import pytest
from studies import REMOVE, changed, content_of, refused

from rlgen.ledger.settings import STATISTICS, dictionaries_of, states_of, tables_of
from rlgen.study import pages
from rlgen.study.load import load

DEFAULT = content_of("config")
GAINS = {"says": "it gains", "of": "ours", "statistic": "effect", "procedure": "contribution", "state": "base"}
GAINS |= {"role": "selection", "above": 0}
TAIL = {"says": "fewer", "of": "paper", "statistic": "norm_ratio_tail", "dictionary": "base-rl", "against": "base-sft"}
TAIL |= {"recipe": "batchtopk", "nrn_above": 0.7, "below": 0}
EARLY = {"says": "early", "of": "paper", "statistic": "early_overlap", "model": "sft", "against": "rl", "above": 0}


def told(**claim: object) -> str:
    """Why a study with this one claim is refused."""
    claim = {field: value for field, value in claim.items() if value is not REMOVE}
    return refused(DEFAULT, claims={"mine": claim})


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            GAINS | {"procedure": "magic"},
            "claims.mine.procedure: unknown procedure 'magic', expected one of contribution",
        ),
        (
            GAINS | {"statistic": "luck"},
            "claims.mine.statistic: input should be 'accuracy_difference', 'norm_ratio_tail'",
        ),
        (
            GAINS | {"role": REMOVE, "state": REMOVE},
            "claims.mine: statistic 'effect' needs state, role, expected a value",
        ),
        (
            GAINS | {"model": "rl"},
            "claims.mine: statistic 'effect' does not read model, expected procedure, state, role",
        ),
        (GAINS | {"below": 1}, "claims.mine: states above and below, expected one of above, below, within"),
        (GAINS | {"above": REMOVE}, "claims.mine: states no bound, expected one of above, below, within"),
        (GAINS | {"above": REMOVE, "within": 0}, "claims.mine.within: input should be greater than 0 (value 0)"),
        (GAINS | {"above": float("inf")}, "claims.mine.above: input should be a finite number"),
        (GAINS | {"says": REMOVE}, "claims.mine.says: missing; expected a value"),
        (GAINS | {"threshold": 1}, "claims.mine.threshold: unknown field (value 1); expected"),
        (
            GAINS | {"role": "all"},
            "claims.mine.role: input should be 'in_domain', 'selection' or 'unseen' (value 'all')",
        ),
        (GAINS | {"state": "dpo"}, "claims.mine.state: unknown model 'dpo', expected one of base"),
        (GAINS | {"state": "rl@9"}, "claims.mine.state: 'rl@9' names no checkpoint"),
        (
            GAINS | {"state": "more"},
            "claims.mine.procedure: contribution makes no edit in more, expected one that does",
        ),
        (GAINS | {"procedure": "published"}, "claims.mine.edit: missing, expected one of scale, add, the edits of"),
        (GAINS | {"edit": "scale"}, "claims.mine.edit: unknown edit 'scale', expected one of exchange"),
        (GAINS | {"seeds": 0}, "claims.mine.seeds: input should be greater than or equal to 1"),
        (
            GAINS | {"statistic": "difference", "rivals": ["luck"], "form": "own_dose"},
            "claims.mine.rivals.0: input should be 'random', 'size'",
        ),
        (
            GAINS
            | {"statistic": "difference", "rivals": ["size", "nrn"], "form": "own_dose", "above": None, "within": 1},
            "claims.mine: within compares with several rivals, expected one",
        ),
        (TAIL | {"dictionary": "base-dpo"}, "claims.mine.dictionary: unknown dictionary 'base-dpo', expected one of"),
        (TAIL | {"recipe": "l1-own"}, "claims.mine.recipe: 'l1-own' is not trained for base-sft, expected a recipe of"),
        (TAIL | {"nrn_above": 0.4}, "claims.mine.nrn_above: input should be greater than 0.5 (value 0.4)"),
        (
            EARLY | {"against": "more"},
            "claims.mine.against: no dictionary reads the reference and all checkpoints of more",
        ),
        (
            {"says": "x", "of": "ours", "statistic": "unmeasured", "because": "y", "above": 0},
            "claims.mine: states above, expected no bound",
        ),
        (
            {
                "says": "x",
                "of": "ours",
                "statistic": "gap_share",
                "procedure": "forgetting",
                "role": "unseen",
                "above": 0,
            },
            "claims.mine.procedure: forgetting makes no edit in base, expected one that does",
        ),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_refused_claims(claim, message):
    assert message in told(**claim)


def test_a_role_without_tasks_is_refused():
    content = changed(DEFAULT, tasks__unseen=[], claims={"mine": GAINS | {"role": "unseen"}})
    assert refused(content) == "claims.mine.role: unseen, but the study lists no such tasks"


@pytest.mark.parametrize(
    ("statistic", "told"), [("explains", "the study lists no arms"), ("foretells", "arms.watch names no procedure")]
)
def test_claims_on_arms_need_arms(statistic, told):
    claim = {"says": "so", "of": "ours", "statistic": statistic, "predictor": "kl", "role": "selection", "below": 0}
    assert refused(changed(DEFAULT, claims={"mine": claim})) == f"claims.mine.statistic: {statistic}, but {told}"


def test_other_mistakes_of_a_study_do_not_break_its_claims():
    """Names that other fields get wrong are told there, once, and crash nothing."""
    message = refused(DEFAULT, procedures__published__edits={"dpo": ["add"]})
    assert "procedures.published.edits: unknown model 'dpo'" in message
    assert "unknown model" in refused(DEFAULT, **{"dictionaries__course-sft__members": ["base", "dpo"]})


def test_the_default_claims_use_every_statistic_but_leave_room_for_holm():
    claims = load(DEFAULT).claims
    of_arms = {"explains", "foretells"}  # of the study with arms, as robustness is of the one with variants
    assert {claim.statistic for claim in claims.values()} == set(STATISTICS) - {"robustness"} - of_arms
    claims = load(content_of("sensitivity")).claims
    assert {claim.statistic for claim in claims.values()} == set(STATISTICS) - of_arms
    assert of_arms <= {claim.statistic for claim in load(content_of("arms")).claims.values()}
    for kind in ("paper", "ours", "robustness", "refutation"):
        tested = [c for c in claims.values() if c.of == kind and c.statistic != "unmeasured"]
        assert 0 < len(tested) <= 12  # eight seeds, all on one side, reach 1/256


def test_the_rule_is_told_labels_of_states_and_reads_what_its_claims_need():
    last = load(changed(DEFAULT, claims={"mine": GAINS | {"state": "rl@5"}, "tail": TAIL}))
    told = pages.judge_claims(last)["claims"]
    assert told["mine"]["state"] == "rl" and told["tail"]["against"] == "base-sft"
    assert dictionaries_of(last.claims) == ["base-rl", "base-sft"]
    assert pages.tables_of_claims(last) == ["controls", "effects", "features", "sets"]
    assert states_of(load(changed(DEFAULT, claims={"e": EARLY})).claims["e"]) == {"model": "sft", "against": "rl"}


def test_a_study_on_real_models_has_no_table_of_the_truth():
    content = copy.deepcopy(content_of("qwen3-4b"))
    procedure = next(iter(content["procedures"]))
    claim = {
        "says": "it finds the cause",
        "of": "ours",
        "statistic": "truth_cosine",
        "procedure": procedure,
        "above": 0,
    }
    study = load(changed(content, claims={"cause": claim}))
    assert tables_of(study.claims) == ["recovery", "sets"] and pages.tables_of_claims(study) == ["sets"]


def test_a_study_without_claims_leaves_the_page_out():
    study = load(changed(DEFAULT, claims={}))
    assert pages.left_out(study)["claims"] == "no claims are listed"
    assert pages.files_of("claims") == ["claims.pdf", "claims.png", "claims.csv", "claims.tex"]

"""Variants: what they become, what is refused, and that they leave the study around them alone."""

import copy
from inspect import signature

import pytest
from rules import rules
from studies import ROOT, changed, content_of, refused

from rlgen.dictionaries.settings import Recipe
from rlgen.study import pages, slices
from rlgen.study.load import load
from rlgen.study.paths import Paths

DEFAULT, WHOLE = content_of("config"), content_of("sensitivity")
STUDY, PLAIN = load(WHOLE), load(DEFAULT)


def told(variant: dict, **changes: object) -> str:
    """Why a study with this one variant is refused."""
    variants = {"procedure": "elimination", "factors": {"size": {"mine": variant}}} | changes
    return refused(DEFAULT, variants=variants)


def test_the_shipped_study_is_the_default_one_with_variants_and_claims_on_them():
    content = copy.deepcopy(WHOLE)
    factors = content.pop("variants")["factors"]
    robust = {name: claim for name, claim in content["claims"].items() if claim["statistic"] == "robustness"}
    content["claims"] = {name: claim for name, claim in content["claims"].items() if name not in robust}
    assert content == DEFAULT
    assert {claim["factor"] for claim in robust.values()} == set(factors) - {"null-dictionary"}


def test_a_variant_becomes_a_recipe_and_a_procedure_that_differ_in_one_factor():
    main, size = STUDY.procedures["elimination"], STUDY.procedures["size-64"]
    assert STUDY.recipes["size-64"] == Recipe(**STUDY.recipes["small"].model_dump() | {"latents": 64})
    edits = {"base": ["exchange"], "rl": ["exchange"]}
    assert size == main.model_copy(update={"recipe": "size-64", "edits": edits})
    assert STUDY.procedures["count-8"] == main.model_copy(update={"cut_count": 8, "edits": edits})
    permuted = STUDY.procedures["permuted"]
    assert (permuted.dictionary, permuted.recipe) == ("null-permuted", "small")
    assert "small" in STUDY.dictionaries["null-permuted"].recipes and "permuted" not in STUDY.recipes
    assert STUDY.factor_of()["k-2"] == "sparsity" and STUDY.compared_procedures()[:2] == ["elimination", "seed-1"]


def test_another_seed_of_the_dictionary_is_another_start_on_the_same_models():
    recipe, main = STUDY.recipes["seed-1"], STUDY.recipes["small"]
    assert (
        main.seed(3) == 3 and len({main.seed(3), recipe.seed(3), recipe.seed(4), STUDY.recipes["seed-2"].seed(3)}) == 4
    )
    sliced = slices.train_dictionary(STUDY, "base-rl", "seed-1", "3")
    assert sliced["recipe"]["replicate"] == 1 and sliced["seed"] == 3


def test_results_from_before_replicates_are_not_stale():
    assert "replicate" not in Recipe().model_dump() and Recipe(replicate=2).model_dump()["replicate"] == 2
    assert Recipe.model_validate_json(Recipe(replicate=2).model_dump_json()).replicate == 2


def test_no_rule_of_the_study_sees_its_variants():
    """What the default study made serves the study with variants and the other way round."""
    jobs = {"task": "max", "model": "rl", "dictionary": "base-rl", "recipe": "small", "seed": "3", "tasks": "known"}
    jobs |= {"procedure": "elimination", "set": "selected"}
    models = {"pretrain": "base", "continue_pretraining": "more", "train_sft": "sft"}
    names = {rule.slice for rule in rules("config/config.yaml").values()}
    assert len(names) > 30
    for name in names - {"judge_claims", "fig9_sensitivity", "table5_sensitivity", "fig10_arms", "fig11_early"}:
        function = getattr(slices, name, None) or getattr(pages, name)
        known = jobs | {"model": models.get(name, "rl")}
        arguments = {key: known[key] for key in list(signature(function).parameters)[1:]}
        assert function(STUDY, **arguments) == function(PLAIN, **arguments), name
    assert set(Paths(PLAIN).every_artifact()) <= set(Paths(STUDY).every_artifact())
    arms = dict.fromkeys(["fig10", "fig11"], "no arms are listed")
    assert pages.left_out(PLAIN) == dict.fromkeys(["fig9", "table5"], "no variants are listed") | arms
    assert pages.left_out(STUDY) == arms


def test_editing_one_variant_reaches_that_variant_and_the_page():
    other = copy.deepcopy(WHOLE)
    other["variants"]["factors"]["sparsity"]["k-2"]["recipe"]["k"] = 3
    study = load(other)
    for procedure, recipe in (("k-2", "k-2"), ("k-4", "k-4"), ("elimination", "small")):
        settings = [
            (slices.train_dictionary(s, "base-rl", recipe, "3"), slices.measure_sensitivity(s, procedure, "3"))
            for s in (STUDY, study)
        ]
        assert (settings[0] == settings[1]) == (procedure != "k-2")
    assert pages.fig9_sensitivity(study)["factors"]["sparsity"]["k-2"] == "k 3"
    assert slices.summarise_mediation(study) == slices.summarise_mediation(STUDY)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({}, "variants.factors.size.mine: changes nothing, expected one of recipe, procedure, dictionary"),
        ({"recipe": {"k": 4}, "procedure": {"score": "size"}}, "size.mine: changes recipe and procedure, expected one"),
        (
            {"recipe": {"k": 8}},
            "variants.factors.size.mine.recipe: k 8 is what the main procedure's recipe has, expected",
        ),
        (
            {"procedure": {"cut_count": 16}},
            "size.mine.procedure: cut_count 16 is what the main procedure has, expected",
        ),
        ({"recipe": {"kk": 4}}, "variants.factors.size.mine.recipe.kk: unknown field (value 4); expected"),
        ({"recipe": {"k": 0}}, "size.mine.recipe.k: input should be greater than or equal to 1 (value 0)"),
        ({"recipe": {"k": 500}}, "variants.factors.size.mine.recipe: k=500 exceeds latents=128"),
        ({"recipe": {"batch_rows": 10**6}}, "variants.factors.size.mine.recipe.batch_rows: 1000000 exceeds the"),
        ({"procedure": {"edits": None}}, "size.mine.procedure.edits: not a variant's to change, expected another"),
        (
            {"procedure": {"cut": "cumulative"}},
            "size.mine.procedure.cut_count: 16 with cut 'cumulative', expected none",
        ),
        ({"dictionary": "base-sft"}, "size.mine.dictionary: base-sft ends with sft@5, expected rl@5 as base-rl does"),
        (
            {"dictionary": "base-dpo"},
            "size.mine.dictionary: 'base-dpo' is no other dictionary, expected one of base-sft",
        ),
        ({"dictionary": "base-sft-rl"}, "size.mine.dictionary: base-sft-rl reads 3 states, expected 2 as base-rl does"),
    ],
    ids=str,
)
def test_bad_variants_are_refused_in_words(variant, message):
    assert message in told(variant)


def test_bad_main_procedures_and_names_are_refused_in_words():
    good = {"recipe": {"k": 4}}
    assert "variants.procedure: unknown procedure 'magic', expected one of" in told(good, procedure="magic")
    assert "published makes scale, add in base, expected one edit" in told(good, procedure="published")
    assert "forgetting makes no edit in base, expected one edit" in told(good, procedure="forgetting")
    taken = {"size": {"small": good}}
    assert "variants.factors.size.small: the name 'small' is taken" in told(good, factors=taken)
    twice = {"size": {"mine": good}, "cut": {"mine": {"procedure": {"cut_count": 4}}}}
    assert "variants.factors.cut.mine: the name 'mine' is taken" in told(good, factors=twice)
    assert "variants: 'a/b' cannot be part of a path" in told(good, factors={"size": {"a/b": good}})
    assert "variants.factors.size.mine.recipee: unknown field" in told({"recipee": {"k": 4}})


def test_claims_on_robustness_name_a_factor_and_an_edited_model():
    robust = WHOLE["claims"]["robust-size"]
    assert "claims.mine.factor: size, but the study lists no variants" in refused(DEFAULT, claims={"mine": robust})

    def said(**fields: object) -> str:
        return refused(WHOLE, claims={"mine": robust | fields})

    assert "claims.mine.factor: unknown factor 'sizes', expected one of dictionary-seed" in said(factor="sizes")
    assert "claims.mine.state: variants edit base, rl, expected one of these" in said(state="sft")
    assert "claims.mine: statistic 'robustness' needs factor, expected a value" in said(factor=None)
    assert pages.tables_of_claims(load(changed(WHOLE, claims={"mine": robust}))) == ["sensitivity"]


def test_claims_are_on_procedures_of_the_study_itself():
    claim = WHOLE["claims"]["compact"] | {"procedure": "size-64"}
    assert "claims.mine.procedure: unknown procedure 'size-64'" in refused(WHOLE, claims={"mine": claim})


def test_the_file_says_how_to_run_it():
    assert (
        "snakemake --configfile config/sensitivity.yaml figures/fig9.pdf"
        in (ROOT / "config/sensitivity.yaml").read_text()
    )

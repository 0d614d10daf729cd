"""Slices: every script accepts exactly what its rule passes, and a slice changes only with what it holds."""

import copy
import importlib
import re
from inspect import signature
from pathlib import Path

import pytest
import yaml
from rules import STUDIES, all_rules
from rules import rules as rules_of
from script_files import script_file

from rlgen.files import canonical_json
from rlgen.study import pages, slices
from rlgen.study.load import load
from rlgen.study.shown_models import made

ROOT = Path(__file__).parents[3]
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text())
STUDY = load(DEFAULT)
JOB = {
    "task": "max",
    "model": "rl",
    "dictionary": "base-sft-rl",
    "recipe": "l1",
    "procedure": "forgetting",
    "seed": "1",
    "solutions": "of-base",
    "set": "selected",
}
MODELS = {"pretrain": "base", "continue_pretraining": "more", "train_sft": "sft"}
MODELS |= {"train_dpo": "dpo", "train_distil": "distil"}
PROCEDURES = {"choose_together": "elimination", "measure_sensitivity": "size-64", "export_edit": "elimination"}
SOURCED = load(ROOT / "config/qwen3-4b.yaml")
SOURCED_JOB = {
    "task": "openbookqa",
    "tasks": "known",
    "source": "general",
    "model": "base",
    "dictionary": "base-rl",
    "recipe": "batchtopk",
    "seed": "0",
    "part": 0,
    "window": "80",
    "shard": "15",
    "procedure": "contribution",
    "set": "selected",
}
SETTINGS = re.compile(r"([\w.]+)\.model_validate_json\(args\.cfg\)")
OF_SCRIPT = {rule.slice: rule.script for rule in all_rules()}  # settings -> the script that obeys them
NOT_DRAWN = {"fig9_sensitivity", "table5_sensitivity", "fig10_arms", "fig11_early"}  # of the default study
OF_ORGANISM = {rule.slice for rule in rules_of(STUDIES[0]).values()} - NOT_DRAWN
VARIED = load(ROOT / "config/sensitivity.yaml")
EXTENDED = {"vary_sets_benchmarks": load(ROOT / "config/smollm2.yaml")}  # of sources, with an extended part
COMPARED = load(ROOT / "config/arms.yaml")
COMPARISONS = {"fig10_arms", "fig11_early"}
OF_ARMS = {rule.slice for rule in rules_of("config/arms.yaml").values()} - OF_ORGANISM - NOT_DRAWN | COMPARISONS
OF_VARIANTS = {rule.slice for rule in rules_of("config/sensitivity.yaml").values()} - OF_ORGANISM - OF_ARMS
BY_STUDY = ((STUDY, OF_ORGANISM), (VARIED, OF_VARIANTS), (COMPARED, OF_ARMS))
EDITED_PAGES = ("fig5", "fig6", "fig7", "fig8", "table2")  # that hold the settings of procedures
NO_VARIANTS = dict.fromkeys(["fig9", "table5"], "no variants are listed")
NO_VARIANTS |= dict.fromkeys(["fig10", "fig11"], "no arms are listed")


def slice_of(study, name: str) -> dict:
    """A rule's slice for one example job."""
    function = getattr(slices, name, None) or getattr(pages, name)
    job = SOURCED_JOB if study is SOURCED else JOB | {"model": MODELS.get(name, "rl")}
    job = job | {"procedure": PROCEDURES.get(name, job["procedure"])}
    return function(study, **{name: job[name] for name in list(signature(function).parameters)[1:]})


def settings_class(name: str):
    """The class with which a script validates its settings."""
    text = script_file(OF_SCRIPT[name]).read_text(encoding="utf-8")
    page = re.search(r"(?:read_page\(\s*args,\s*)?(\w+)\.(Settings|TasksPage|Page)\b", text)
    if page:  # `from rlgen.figures import fig1_behaviour as fig1`, and fig1.Settings
        imported = re.search(rf"from rlgen\.figures import (\w+) as {page[1]}\b", text)
        module, name = f"rlgen.figures.{imported[1] if imported else page[1]}", page[2]
    else:
        name = SETTINGS.search(text)[1]
        module = re.search(rf"from (rlgen[\w.]*) import [^\n]*\b{name}\b", text)[1]
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("rule", sorted(OF_SCRIPT))
def test_scripts_accept_what_their_rule_passes(rule):
    settings = settings_class(rule)
    study = next((s for s, rules in BY_STUDY if rule in rules), EXTENDED.get(rule, SOURCED))
    accepted = settings.model_validate_json(canonical_json(slice_of(study, rule)))
    defaulted = set(settings.model_fields) - accepted.model_fields_set - {"chance", "published", "tasks", "size"}
    assert not defaulted, "a script falls back on its own defaults"


def changed(path: str, value: object):
    """The default study with one field changed."""
    content = copy.deepcopy(DEFAULT)
    *parents, last = path.split(".")
    entry = content
    for name in parents:
        entry = entry[name]
    entry[last] = value
    return load(content)


@pytest.mark.parametrize(
    ("path", "value", "stale"),
    [
        ("features.top", 40, {"measure_dynamics", "fig4", "judge_claims"}),
        ("features.contexts", 3, {"measure_dictionary", "inspect_latents"}),
        ("features.shown", 3, {"table4"}),
        ("interventions.random_sets", 30, {"intervene", "edit_alone"}),
        ("recipes.l1.steps", 40, {"train_dictionary"}),
        ("models.rl.prompts", 640, {"train_grpo"}),
        ("procedures.forgetting.cut_share", 0.5, {"score_features", "build_site", *EDITED_PAGES}),
        ("procedures.elimination.gate_penalty", 0.1, {"choose_together", "build_site", *EDITED_PAGES}),
        ("procedures.elimination.cut_count", 8, {"choose_together", "build_site", *EDITED_PAGES}),
        (
            "interventions.bootstrap",
            500,
            {"summarise_behaviour", "summarise_interventions", "summarise_varied"},
        ),
    ],
)
def test_a_field_reaches_the_rules_that_obey_it_and_no_others(path, value, stale):
    study = changed(path, value)
    found = {rule for rule in OF_ORGANISM if slice_of(study, rule) != slice_of(STUDY, rule)}
    assert {re.sub(r"^(fig\d|table\d)_.*", r"\1", rule) for rule in found} == stale


def test_states_are_explicit_for_activations_and_labels_for_tables():
    assert slice_of(STUDY, "train_dictionary")["members"] == ["base@1", "sft@5", "rl@5"]
    assert slice_of(STUDY, "harvest")["states"] == ["rl@1", "rl@2", "rl@3", "rl@4", "rl@5"]
    assert slice_of(STUDY, "steer")["states"] == ["base", "rl", "sft", "rl@1"]
    assert slice_of(STUDY, "intervene")["models"] == ["base", "sft"]


def test_steering_is_told_the_headers_of_the_organism_alone():
    assert slice_of(STUDY, "steer")["headers"] == {"towards": "[book]", "away": "[chat]"}
    assert slice_of(SOURCED, "steer_benchmarks")["headers"] == {}


def test_what_pages_show_of_models_follows_the_config():
    """Every model; nulls as declared, and any other pair as what it is."""
    fig1 = slice_of(STUDY, "fig1_behaviour")
    assert fig1["models"] == ["base", "sft", "rl", "more", "relearn-sft", "sft-plain"]
    assert fig1["relearning"]["relearn-sft"] == {"parent": "sft", "steps": 300}
    assert fig1["made"]["relearn-sft"] == "SFT on right solutions in base's own format from sft"
    assert fig1["made"]["rl"] == "RL (GRPO)" and "base" not in fig1["made"]
    words = {
        name: made(COMPARED, name) for name in ("rft-2", "own", "distil", "rl-coin", "dpo", "aim-set", "hold-alive")
    }
    assert words == {
        "rft-2": "SFT on right solutions of rft-1 from rft-1",
        "own": "SFT on solutions of base",
        "distil": "distilled from rl",
        "rl-coin": "RL (GRPO), rewarded by a coin",
        "dpo": "preferences (DPO)",
        "aim-set": "distilled from base under selected of elimination",
        "hold-alive": "SFT on a teacher's solutions, held to alive of elimination",
    }
    content = copy.deepcopy(DEFAULT)
    content["dictionaries"]["a-plain"] = {"members": ["base", "sft-plain"], "recipes": ["l1"]}
    fig2 = slice_of(load(content), "fig2_nrn")
    assert fig2["nulls"] == ["null-more", "null-permuted"]
    assert list(fig2["pairs"].items()) == [("base-rl", "rl"), ("base-sft", "sft"), ("a-plain", "sft-plain")]
    assert fig2["recipes"] == slice_of(STUDY, "fig2_nrn")["recipes"]
    content["dictionaries"]["null-more"].pop("is_null")
    assert slice_of(load(content), "fig2_nrn")["pairs"]["null-more"] == "more"


def test_pages_without_inputs_are_left_out_and_say_why():
    content = copy.deepcopy(DEFAULT)
    del content["roles"]["contrast"], content["dictionaries"]["course-sft"], content["dictionaries"]["course-rl"]
    content["procedures"] = content["claims"] = {}
    del content["extended"]
    reasons = pages.left_out(load(content))
    assert set(reasons) == {
        "fig3",
        "fig4",
        "fig5",
        "fig6",
        "fig7",
        "fig8",
        "table2",
        "table4",
        "fig12",
        "claims",
    } | set(NO_VARIANTS)
    assert reasons["fig4"] == "no dictionary reads the reference and all checkpoints of one model"
    content = copy.deepcopy(DEFAULT)
    content["tasks"]["unseen"], content["claims"] = [], {}
    reasons = {"fig7": "no tasks are listed as unseen", "claims": "no claims are listed"} | NO_VARIANTS
    assert pages.left_out(load(content)) == reasons
    content = copy.deepcopy(DEFAULT)
    for name, recipe in (("base-rl", "batchtopk"), ("base-sft", "l1-own")):
        content["dictionaries"][name]["recipes"] = [recipe]
    content["procedures"] = content["claims"] = {}
    del content["extended"]
    assert pages.left_out(load(content))["fig2"] == "no recipe is trained for all of base-rl, base-sft"


def test_scores_by_cause_read_texts_as_the_study_does():
    """Words are tokens in the organism; published models read the first tokens of a text, so many at a time."""
    organism = slices.attribute_features(STUDY, "elimination", "1")
    assert organism["completion_tokens"] is None and organism["batch_size"] is None
    assert organism["tuned"] == "rl" and organism["doses"] == STUDY.interventions.doses
    published = slices.attribute_features(SOURCED, "contribution", "0")
    assert published["completion_tokens"] == SOURCED.evaluation.completion_tokens

"""The study as a whole: what it refuses, with which words, and the names it understands."""

import copy

import pytest
from studies import REMOVE, ROOT, changed, content_of, refused

from rlgen.study import docs, slices
from rlgen.study.load import ConfigError, load

DEFAULT = content_of("config")
FAMILIES = DEFAULT["data"]["families"]


@pytest.mark.parametrize("path", sorted([*(ROOT / "config").glob("*.yaml"), ROOT / "tests/workflow/miniature.yaml"]))
def test_every_study_of_the_project_is_valid(path):
    load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sede": 3}, "sede: unknown field (value 3); expected one of the fields in config/README.md"),
        ({"stream__layr": 2}, "stream.layr: unknown field (value 2); expected"),
        ({"sede": 3}, "expected one of the fields in config/README.md, nearest: seeds"),
        (
            {"models__sft__exmaples": 3},
            "models.sft.exmaples: unknown field (value 3); expected one of the fields in config",
        ),
        ({"models__sft__exmaples": 3}, "config/README.md, nearest: examples"),
        ({"models__base__architecture": {"hiden_size": 3}}, "config/README.md, nearest: hidden_size"),
        ({"dictionaries__base-rl__member": []}, "config/README.md, nearest: members"),
        ({"machine": {"requests": {"harvest": {"mem": 1}}}}, "config/README.md, nearest: mem_mb"),
        ({"study": REMOVE}, "study: missing; expected a value"),
        ({"study": "a/b"}, "study: 'a/b' cannot be part of a path, expected letters"),
        ({"seeds": [0, 0]}, "seeds: expected distinct integers from 0 up"),
        ({"seeds": "all"}, "seeds: input should be a valid list (value 'all')"),
        ({"data__families": ["add", "maxx"]}, "data.families: unknown family 'maxx', expected one of"),
        ({"data": None}, "data: expected fields, `name: value` (value None)"),
        ({"models__rl__method": "gpro"}, "models.rl.method: unknown method 'gpro', expected one of load"),
        ({"threads": 0}, "threads: input should be greater than or equal to 1 (value 0)"),
        ({"models__sft__learning_rate": -1}, "models.sft.learning_rate: input should be greater than 0 (value -1)"),
        ({"models__sft__learning_rate": float("nan")}, "models.sft.learning_rate: input should be a finite number"),
        ({"models__sft__method": "ppo"}, "models.sft.method: unknown method 'ppo', expected one of load, pretrain"),
        (
            {"models__sft__parent": "bse"},
            "models.sft.parent: unknown model 'bse', expected one of base, more, relearn-sft,",
        ),
        ({"models__sft__parent": "rl@6"}, "models.sft.parent: 'rl@6' names no checkpoint, expected rl@1 to rl@5"),
        ({"models__sft__parent": "sft"}, "models.sft.parent: sft -> sft is a cycle, expected a pretrained ancestor"),
        ({"models__sft__examples": 33}, "examples=33 is not a multiple of batch_size=32"),
        ({"models__rl__prompts": 32}, "models.rl.checkpoints: 5 checkpoints of 2 steps, expected no more"),
        ({"roles__target": "dpo"}, "roles.target: unknown model 'dpo', expected one of base"),
        ({"stream__layer": 4}, "stream.layer: 4 is beyond the model, expected 0 to 3"),
        ({"stream__sampled_models": ["dpo"]}, "stream.sampled_models: unknown model 'dpo'"),
        ({"stream__rows": 1000}, "rows=1000 is not a multiple of shard_rows=8192"),
        ({"tasks__unseen": ["max"]}, "tasks: task 'max' is listed as selection and as unseen, expected one role"),
        ({"tasks__unseen": ["chess"]}, "tasks.unseen: unknown task 'chess', expected one of add, max"),
        ({"tasks__unseen": ["maxi"]}, "mix, nearest: max; a new one is added to data.families"),
        ({"roles__target": "rll"}, "expected one of base, more, relearn-sft, rl, sft, sft-plain, nearest: rl"),
        ({"tasks__selection": []}, "tasks.selection: list should have at least 1 item"),
        ({"recipes__l1__batch_rows": 10**6}, "recipes.l1.batch_rows: 1000000 exceeds the"),
        ({"recipes__batchtopk__k": 300}, "recipes.batchtopk: k=300 exceeds latents=256"),
        (
            {"recipes__batchtopk": {"objective": "dedicated", "exclusive_latents": 128}},
            "recipes.batchtopk: exclusive_latents=128, expected 1..127 for dedicated",
        ),
        (
            {"recipes__batchtopk__exclusive_latents": 4},
            "recipes.batchtopk: exclusive_latents=4, expected 0 for batchtopk",
        ),
        (
            {"recipes__batchtopk": {"objective": "dedicated", "exclusive_latents": 8}},
            "dictionaries.base-sft-rl.recipes: batchtopk is dedicated, of 3 states, expected a pair",
        ),
        (
            {"recipes__batchtopk": {"objective": "dedicated", "exclusive_latents": 8, "encoder": "mlp"}},
            "recipes.batchtopk: encoder=mlp, expected linear for dedicated, whose latents read one model",
        ),
        ({"dictionaries__base-rl__members": ["base", "dpo"]}, "dictionaries.base-rl.members: unknown model 'dpo'"),
        ({"dictionaries__base-rl__members": ["base", "rl@9"]}, "dictionaries.base-rl.members: 'rl@9' names no"),
        ({"dictionaries__base-rl__members": ["rl", "base"]}, "starts with rl@5, expected the reference base@1 first"),
        ({"dictionaries__base-rl__members": ["base", "rl", "rl@5"]}, "names a state twice, expected distinct"),
        ({"dictionaries__base-rl__recipes": ["topk"]}, "dictionaries.base-rl.recipes: unknown recipe 'topk'"),
        ({"procedures__published__dictionary": "base-dpo"}, "published.dictionary: unknown dictionary 'base-dpo'"),
        ({"procedures__forgetting__recipe": "l1-own"}, "procedures.forgetting.recipe: 'l1-own' is not trained for"),
        (
            {"procedures__elimination__cut_count": REMOVE},
            "procedures.elimination.cut_count: missing, expected the number",
        ),
        ({"procedures__contribution__cut_count": 5}, "contribution.cut_count: 5 with cut 'cumulative', expected none"),
        (
            {"procedures__contribution__score": "gates"},
            "contribution.cut: 'cumulative' with score 'gates', expected 'top'",
        ),
        ({"procedures__contribution__dictionary": "course-rl"}, "reads 6 states, expected two or three"),
        ({"dictionaries__base-sft__members": ["base", "sft@2"]}, "ends with sft@2, expected a last checkpoint"),
        ({"procedures__published__edits": {"dpo": ["add"]}}, "procedures.published.edits: unknown model 'dpo'"),
        ({"procedures__published__edits": {"rl": ["add"], "rl@5": ["add"]}}, "rl, rl@5 names a state twice"),
        ({"features__course_recipe": "topk"}, "features.course_recipe: unknown recipe 'topk'"),
        ({"features__course_recipe": "small"}, "features.course_recipe: 'small' is not trained for"),
        ({"roles__contrast": "rl"}, "roles: base, rl, rl names a model twice, expected distinct models"),
        ({"stream__sampled_models": []}, "stream.sampled_models: names no model, expected at least one"),
        ({"stream__sampled_models": ["rl", "rl"]}, "stream.sampled_models: rl, rl names a model twice"),
        ({"data__families": [*FAMILIES, "chess"]}, "data.families: unknown family 'chess', expected one of add, max"),
        ({"data__families": [*FAMILIES, "add"]}, "names a family twice, expected distinct families"),
        ({"data__problems_per_document": 0}, "data.problems_per_document: input should be greater than or equal to 1"),
        ({"data__salt": ""}, "data.salt: string should have at least 1 character"),
        ({"models__sft__style": "own"}, "models.sft.style: input should be 'teacher', 'plain' or 'source'"),
        ({"relearning": ["dpo"]}, "relearning: unknown model 'dpo', expected one of base"),
        ({"relearning": ["rl"]}, "relearning: rl comes by grpo, expected models of method sft"),
        ({"relearning": ["sft", "sft"]}, "relearning: sft, sft names a model twice"),
        (
            {"dictionaries__base-sft-rl__is_null": True},
            "dictionaries.base-sft-rl.is_null: reads 3 states, expected a pair",
        ),
        ({"dictionaries__null-permuted__is_null": False}, "dictionaries.null-permuted.is_null: false, but a permuted"),
        ({"evaluation__answer_marker": "@"}, "evaluation.answer_marker: '@' is no word of the tasks, expected one of"),
        ({"models__base__architecture": {"head_dim": 5}}, "models.base.architecture.head_dim: 5 is odd, expected"),
        ({"models__completions": {"method": "sft", "parent": "base"}}, "models.completions: the name 'completions' is"),
        ({"procedures__steering": DEFAULT["procedures"]["published"]}, "procedures.steering: the name 'steering' is"),
        ({"procedures__maps": DEFAULT["procedures"]["published"]}, "procedures.maps: the name 'maps' is taken"),
        ({"procedures__published__edits": {"rl": ["add", "add"]}}, "published.edits.rl: add, add names an edit twice"),
        ({"interventions__doses": [1, 1.0]}, "interventions.doses: [1.0, 1.0], expected distinct numbers above 0"),
        ({"interventions__truth_doses": [0, 1]}, "interventions.truth_doses: [0.0, 1.0], expected distinct numbers"),
        ({"interventions__bootstrap": 1.5}, "interventions.bootstrap: input should be a valid integer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_studies_are_refused_in_words(changes, message):
    assert message in refused(DEFAULT, **changes)


def test_all_problems_are_told_at_once():
    told = refused(DEFAULT, stream__layer=9, roles__target="dpo").split("\n")
    assert [line.split(":")[0] for line in told[:2]] == ["roles.target", "stream.layer"]


@pytest.mark.parametrize("text", ["seeds: [", "just words", ""])
def test_files_that_are_no_study_are_named(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.yaml: (cannot be read|holds)"):
        load(path)
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        load(tmp_path / "absent.yaml")


def test_states_have_an_explicit_form_and_a_label():
    study = load(DEFAULT)
    assert [study.state(s) for s in ("rl", "rl@5", "rl@2", "base")] == ["rl@5", "rl@5", "rl@2", "base@1"]
    assert [study.label(s) for s in ("rl", "rl@5", "rl@2", "base@1")] == ["rl", "rl", "rl@2", "base"]
    for unknown in ("rl@0", "rl@", "rl@-1", "dpo", "rl@x"):
        with pytest.raises(ValueError, match="expected"):
            study.state(unknown)


def test_a_study_knows_its_courses_and_its_joint_dictionary():
    study = load(DEFAULT)
    assert study.courses() == {"sft": "course-sft", "rl": "course-rl"}
    assert study.joint() == "base-sft-rl"
    assert study.harvested("sft") == [1, 2, 3, 4, 5] and study.harvested("more") == [1]


def test_a_model_may_start_from_another_models_checkpoint():
    content = copy.deepcopy(DEFAULT)
    content["models"]["rl"]["parent"] = "sft@2"
    assert load(content).architecture("rl").layers == 4


@pytest.mark.parametrize(("name", "text"), [("schema.json", docs.schema), ("README.md", docs.page)])
def test_the_description_of_the_config_is_current(name, text):
    assert (ROOT / "config" / name).read_text() == text(), "run: python scripts/tools/describe_config.py"


def test_another_salt_is_another_split_under_the_same_name():
    """The salt of a study is its name, or what the config says; no job is told both."""
    study, salted = load(changed(DEFAULT, data__salt=None)), load(changed(DEFAULT, data__salt="testbed-2"))
    assert (study.salt, salted.salt, salted.study) == ("testbed", "testbed-2", "testbed")
    assert load(changed(DEFAULT, data__salt="testbed")).salt == study.salt
    for name, names in (("make_task", ["max"]), ("make_training_set", ["0"]), ("pretrain", ["base", "0"])):
        told, before = (getattr(slices, name)(s, *names) for s in (salted, study))
        assert (told.pop("salt"), before.pop("salt")) == ("testbed-2", "testbed") and told == before
    for function in (slices.build_stream, slices.measure_truth):
        assert function(salted, "0")["salt"] == "testbed-2" and "salt" not in function(salted, "0")["data"]


def test_the_replication_is_the_default_study_with_more_seeds_and_less_beside_its_claims():
    """Whatever it has, it has as the default study has it; it leaves out what no claim reads."""
    replication = content_of("replication")
    assert replication["seeds"] == list(range(3, 11)) and load(replication).claims
    added = replication["claims"].pop("style")
    assert added["model"] == "sft-plain" and replication["claims"] == DEFAULT["claims"]
    for field in ("threads", "roles", "data", "tasks", "evaluation", "stream", "features", "interventions"):
        assert replication[field] == DEFAULT[field], field
    for field in ("models", "recipes"):
        assert all(entry == DEFAULT[field][name] for name, entry in replication[field].items())
    for name, entry in replication["dictionaries"].items():
        assert entry["members"] == DEFAULT["dictionaries"][name]["members"]
    for name, entry in replication["procedures"].items():
        frozen = DEFAULT["procedures"][name]
        assert entry | {"edits": None} == frozen | {"edits": None}
        assert all(set(kinds) <= set(frozen["edits"][state]) for state, kinds in entry["edits"].items())


def test_a_dictionary_has_beside_it_the_course_of_the_very_model_it_explains():
    content = content_of("config")
    study = load(content)
    assert {name: study.course_beside(name) for name in ("base-rl", "base-sft", "base-sft-rl")} == {
        "base-rl": "course-rl",
        "base-sft": "course-sft",
        "base-sft-rl": "course-rl",
    }
    assert [study.course_beside(name) for name in ("course-rl", "null-more", "null-permuted")] == [None] * 3
    content["dictionaries"]["early"] = {"members": ["base", "rl@2"], "recipes": ["batchtopk"]}
    assert load(content).course_beside("early") is None

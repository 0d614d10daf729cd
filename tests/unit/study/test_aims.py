"""Models that aim at a set, and the set that is watched in arms: what they need, and what is refused."""

import pytest
from studies import content_of

from rlgen.study import aims, model_checks, slices
from rlgen.study.load import ConfigError, load


def aimed(**models) -> dict:
    """The study of arms with other models that aim at a set."""
    content = content_of("arms")
    kept = {name: model for name, model in content["models"].items() if "under" not in model and "holds" not in model}
    claims = {name: claim for name, claim in content["claims"].items() if not name.startswith(("aim", "held"))}
    return content | {"models": kept | models, "claims": claims}


UNDER = {"method": "distil", "parent": "base", "teacher": "base", "under": {"procedure": "elimination"}}
HELD = {"method": "sft", "parent": "base", "holds": {"procedure": "elimination"}}


def test_models_that_aim_need_the_edits_they_aim_at():
    study = load(aimed(towards=UNDER, held=HELD | {"holds": {"procedure": "elimination", "set": "random-01"}}))
    assert {name: aim.set for name, aim in aims.aims(study).items()} == {"held": "random-01", "towards": "selected"}
    assert set(model_checks.origins(study, "towards")) == {"base", "rl", "sft-plain", "headed", "distil", "dpo", "rloo"}
    told = slices.export_edit(study, "elimination", "random-01", "3")
    assert told["edits"] == {"base": ["exchange"]} and told["models"] == ["base", "rl"]
    assert told["set"] == "random-01"


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (UNDER | {"teacher": "rl"}, "models.x.teacher: rl, expected the reference base: edits are of that model"),
        (HELD | {"parent": "sft"}, "models.x.parent: sft, expected the reference base: edits are of that model"),
        (UNDER | {"under": {"procedure": "gates"}}, "models.x.under.procedure: unknown procedure 'gates'"),
        (
            UNDER | {"under": {"procedure": "elimination", "set": "biggest"}},
            "models.x.under.set: unknown set 'biggest', expected one of selected, size",
        ),
        (
            UNDER | {"under": {"procedure": "elimination", "set": "random-20"}},
            "models.x.under.set: random-20, but interventions.random_sets=20, expected random-00 to random-19",
        ),
        (
            HELD | {"holds": {"procedure": "elimination", "set": "shift-in_domain"}},
            "models.x.holds.set: shift-in_domain is a vector and reads nothing, expected a set of latents",
        ),
        (
            HELD | {"batch_size": 32, "scale": {"gpus": 2, "per_device_batch": 16}},
            "models.x.scale.gpus: 2 with holds, expected 1",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_aims_at_nothing_are_refused_in_one_line(model, line):
    with pytest.raises(ConfigError) as refused:
        load(aimed(x=model))
    assert line in str(refused.value)


def test_an_edit_that_reads_by_a_bent_encoder_is_not_exported():
    content = aimed(x=UNDER)
    bent = content["recipes"]["small"] | {"encoder": "mlp"}
    with pytest.raises(ConfigError, match="elimination reads by a bent encoder, expected a linear one to export"):
        load(content | {"recipes": content["recipes"] | {"small": bent}})


def test_a_procedure_that_does_not_edit_the_reference_cannot_be_aimed_at():
    content = aimed(x=UNDER)
    content["procedures"]["elimination"]["edits"] = {"rl": ["exchange"]}
    content["claims"] = {}
    with pytest.raises(ConfigError, match=r"procedures\.elimination.edits lacks exchange in base, expected it there"):
        load(content)


def test_a_model_cannot_aim_at_an_edit_that_it_shapes():
    content = aimed(x=UNDER)
    content["procedures"]["elimination"]["edits"] |= {"x": ["exchange"]}
    with pytest.raises(ConfigError, match=r"models\.x: is made from itself"):
        load(content)


def published(**models) -> dict:
    """The study of a small published model with other models beside its own."""
    content = content_of("smollm2")
    return content | {"models": content["models"] | models}


def test_published_models_aim_as_the_organism_does_and_their_edits_need_the_tasks_that_choose_doses():
    aim, scale = {"procedure": "contribution", "set": "size"}, content_of("smollm2")["models"]["sft"]["scale"]
    towards = {"method": "distil", "parent": "base", "teacher": "base", "under": aim, "scale": scale}
    study = load(published(towards=towards, held=HELD | {"holds": aim, "scale": scale}))
    assert {*aims.aims(study)} == {"towards", "held"}
    told = slices.export_edit_benchmarks(study, "contribution", "size", "0")
    assert told["models"] == ["base", "rl"] and (told["layer"], told["set"]) == (14, "size")
    assert list(told["benchmarks"]) == ["large_sums", "lcm"]  # of the selection tasks, long_sums is left out


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ({"parent": "base@1"}, "models.x.parent: base@1, expected the reference base: edits are of that model"),
        ({"scale": {"gpus": 2, "per_device_batch": 16}}, "models.x.scale.gpus: 2 with holds, expected 1"),
    ],
)
def test_what_published_models_cannot_aim_at(model, line):
    content = published(x=HELD | {"holds": {"procedure": "contribution"}} | model)
    content["models"]["base"]["earlier"] = [{"from": content["models"]["base"]["from"]}]
    with pytest.raises(ConfigError) as refused:
        load(content)
    assert line in str(refused.value)


def test_the_reference_may_be_named_by_its_number():
    content = aimed(x=UNDER | {"parent": "base@1", "teacher": "base@1"})
    content["procedures"]["elimination"]["edits"]["base@1"] = content["procedures"]["elimination"]["edits"].pop("base")
    assert aims.aims(load(content))


@pytest.mark.parametrize(
    ("watch", "line"),
    [
        ("gates", "arms.watch: unknown procedure 'gates'"),
        ("other", "arms.watch: other explains sft, expected the target"),
    ],
)
def test_what_is_watched_explains_the_target(watch, line):
    content = aimed()
    content["dictionaries"]["base-sft"] = {"members": ["base", "sft"], "recipes": ["small"]}
    content["procedures"]["other"] = {"dictionary": "base-sft", "recipe": "small", "edits": {"sft": ["exchange"]}}
    content["arms"]["watch"] = watch
    with pytest.raises(ConfigError, match=line):
        load(content)


def test_only_what_is_edited_by_exchange_can_be_moved_away():
    content = aimed()
    content["procedures"]["elimination"]["away"] = ["rft-1"]
    content["claims"] = {}
    with pytest.raises(ConfigError, match=r"procedures\.elimination\.away: rft-1, expected states that edits exchange"):
        load(content)

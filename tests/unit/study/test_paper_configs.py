"""The paper's studies hold what the paper states (arXiv 2604.25011): each number is written down here a second time."""

import re

import pytest
from studies import ROOT, content_of

from rlgen.planning import disk
from rlgen.planning.arithmetic import Assumptions
from rlgen.planning.work import Estimator
from rlgen.study.load import load
from rlgen.study.pages import fig6_selection, fig7_unseen, left_out
from rlgen.tasks.shipped import output_type

PAPER = ["qwen3-4b", "qwen2.5-7b", "llama3.1-8b"]
ACCURACY_TASKS = ["hendrycks_math500", "aime24", "aime25", "openbookqa", "commonsense_qa", "sciq", "arc_challenge"]
ACCURACY = {
    "qwen3-4b": {
        "base": [26.0, 13.3, 0.0, 23.6, 20.1, 78.5, 36.0],
        "sft": [68.4, 13.3, 13.3, 25.8, 19.6, 51.8, 34.4],
        "rl": [77.0, 26.7, 20.0, 27.2, 50.5, 89.5, 39.3],
    },
    "qwen2.5-7b": {
        "base": [40.0, 10.0, 3.3, 28.4, 77.6, 86.9, 41.9],
        "sft": [69.2, 13.3, 10.0, 26.4, 30.1, 79.4, 37.0],
        "rl": [71.4, 20.0, 13.3, 32.8, 76.1, 90.7, 42.5],
    },
}
EFFECTS = {  # task: zeroed in RL, amplified in base; points on critical samples
    "qwen3-4b": {
        "openbookqa": (-46.2, 36.3),
        "commonsense_qa": (-43.9, 36.0),
        "headqa_en": (-21.2, 21.2),
        "sciq": (-14.0, 38.0),
        "arc_challenge": (-33.3, 33.3),
        "logiqa": (-24.5, 23.3),
        "piqa": (-17.6, 28.2),
    },
    "qwen2.5-7b": {
        "openbookqa": (-21.9, 12.5),
        "commonsense_qa": (-24.4, 24.4),
        "headqa_en": (-23.8, 14.3),
        "sciq": (-44.4, 55.6),
        "arc_challenge": (-20.0, 40.0),
        "logiqa": (-24.0, 24.0),
        "piqa": (-11.8, 32.9),
    },
}


@pytest.fixture(params=PAPER)
def study(request):
    return load(content_of(request.param))


def test_models(study):
    """47K problems, 1 epoch, batch 128, learning rates, 8 rollouts, 16K tokens, a checkpoint each fifth."""
    sft, rl, teacher = study.models["sft"], study.models["rl"], study.data.teacher
    assert (sft.batch_size, sft.learning_rate, sft.checkpoints) == (128, 5e-5, 5)
    assert (rl.prompts_per_step, rl.learning_rate, rl.rollouts, rl.checkpoints) == (128, 1e-6, 8, 5)
    assert 46_500 <= sft.examples == rl.prompts < 47_500  # the same prompts, once
    assert sft.scale.max_length == rl.scale.max_length == 16 * 1024
    assert rl.max_new_tokens < 16 * 1024 and rl.loss_type == "grpo"
    assert (sft.parent, rl.parent) == ("base", "base") and teacher.origin == "Qwen/Qwen3-32B"
    assert teacher.max_model_len <= 16 * 1024  # what SFT would leave out need not be written


@pytest.mark.parametrize(
    ("name", "origin", "layer", "blocks", "width"),
    [
        ("qwen3-4b", "Qwen/Qwen3-4B-Base", 18, 36, 2560),
        ("qwen2.5-7b", "Qwen/Qwen2.5-7B", 14, 28, 3584),
        ("llama3.1-8b", "meta-llama/Llama-3.1-8B-Instruct", 16, 32, 4096),
    ],
)
def test_bases_and_layers(name, origin, layer, blocks, width):
    study = load(content_of(name))
    base = study.models["base"]
    assert base.origin == origin and study.stream.layer == layer
    assert (base.size.blocks, base.size.hidden_size) == (blocks, width)
    assert study.study == name


def test_tasks(study):
    assert study.tasks.in_domain == ["hendrycks_math500", "aime24", "aime25"]
    assert study.tasks.selection == ["openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge"]
    assert study.tasks.unseen == ["logiqa", "piqa"]
    assert set(study.data.benchmarks) == set(study.tasks.role_of())
    assert (study.roles.reference, study.roles.contrast, study.roles.target) == ("base", "sft", "rl")


def test_token_stream(study):
    stream, sources = study.stream, study.data.sources
    assert stream.mix == {"reasoning": 0.5, "general": 0.5} and stream.sequence_tokens == 512
    assert stream.training_shards * stream.shard_rows == 400_000_000
    assert sources["reasoning"].hub == "open-thoughts/OpenThoughts-114k"
    general = sources["general"]
    assert general.hub == "togethercomputer/RedPajama-Data-1T-Sample"
    kinds = {name.partition("_")[0] for name in general.files}  # by name: datasets 5 runs no loading script
    assert kinds == {"arxiv", "book", "c4", "cc", "github", "stackexchange", "wikipedia"} and len(general.files) == 11


def test_dictionaries(study):
    """L1 crosscoders as published, one pass over the rows; pairs and the joint one."""
    recipe = study.recipes["l1-own"]
    assert (recipe.objective, recipe.latents, recipe.batch_rows, recipe.learning_rate) == ("l1", 32768, 1024, 1e-4)
    assert (recipe.l1_coefficient, recipe.l1_ramp, recipe.normalisation) == (2, 0.05, "per_model")
    assert recipe.decoder_init_norm == 0.08 and recipe.steps * recipe.batch_rows == 400_000_000
    for name, members in {
        "base-sft": ["base", "sft"],
        "base-rl": ["base", "rl"],
        "base-sft-rl": ["base", "sft", "rl"],
    }.items():
        assert study.dictionaries[name].members == members and "l1-own" in study.dictionaries[name].recipes
    ours = study.recipes["batchtopk"]
    assert ours.latents == 32768 and 0.99 < ours.steps * ours.batch_rows / 400_000_000 <= 1
    assert list(study.courses()) == ["sft", "rl"] and study.joint() == "base-sft-rl"


def test_features_and_procedures(study):
    published = study.procedures["published"]
    assert (published.score, published.cut, published.cut_share) == ("activation", "intersection", 0.2)
    assert (published.dictionary, published.recipe, published.critical) == ("base-rl", "l1-own", "gained")
    assert "disable" in published.edits["rl"] and {"scale", "add"} <= set(published.edits["base"])
    assert study.features.top == 50 and study.interventions.random_sets >= 20


@pytest.mark.parametrize("name", ACCURACY)
def test_published_accuracies(name):
    """HeadQA, LogiQA and PIQA are not known to us: nothing stands for them."""
    published = load(content_of(name)).published
    assert published.accuracy == {m: dict(zip(ACCURACY_TASKS, row, strict=True)) for m, row in ACCURACY[name].items()}
    assert "2604.25011" in published.source


@pytest.mark.parametrize("name", EFFECTS)
def test_published_effects(name):
    study = load(content_of(name))
    assert {t: (study.published.disable[t], study.published.amplify[t]) for t in EFFECTS[name]} == EFFECTS[name]
    assert set(study.published.disable) == set(study.published.amplify) == set(EFFECTS[name])
    pages = fig6_selection(study)["tasks"], fig7_unseen(study)["tasks"]
    assert [*pages[0], *pages[1]] == list(EFFECTS[name])


def test_nothing_is_published_of_llama_that_we_know():
    assert load(content_of("llama3.1-8b")).published is None


def test_commits_are_whole_or_left_to_make_pin(study):
    data = study.data
    pinned = [*data.benchmarks.values(), *data.sources.values(), data.teacher, study.models["base"]]
    assert all(entry.revision is None or re.fullmatch("[0-9a-f]{40}", entry.revision) for entry in pinned)


def test_bring_your_own_trains_no_model_and_loads_from_folders():
    study = load(content_of("bring-your-own"))
    assert study.trained() == [] and study.data.problems is None and study.data.teacher is None
    assert (study.roles.reference, study.roles.target, study.roles.contrast) == ("base", "rl", "sft")
    assert study.courses() == {"rl": "course-rl"} and study.models["rl"].checkpoints == 3
    assert all(model.origin.startswith("./") for model in study.models.values())
    recipe, stream = study.recipes["batchtopk"], study.stream
    rows = stream.training_shards * stream.shard_rows
    assert 0.99 < recipe.steps * recipe.batch_rows / rows <= 1  # one pass, as in the paper's studies


@pytest.mark.parametrize("name", [*PAPER, "bring-your-own", "two-models"])
def test_every_task_says_whether_models_are_asked_in_turns(name):
    """Solutions in turns, as SFT and RL train them; answers to choose from as the tasks are published."""
    found = load(content_of(name)).data.benchmarks
    written = {task for task in found if output_type(task, found[task]) == "generate_until"}
    assert {task: entry.chat for task, entry in found.items()} == {task: task in written for task in found}
    text = (ROOT / f"config/{name}.yaml").read_text().partition("  benchmarks:")
    assert "`chat`" in (text[0] + text[2])[-len(text[2]) - 400 :] and "[ours" in text[2] + text[0][-400:]


def test_two_public_checkpoints_without_a_contrast_are_a_study_that_can_be_planned(tmp_path):
    study = load(content_of("two-models"))
    assert study.roles.contrast is None and study.trained() == [] and study.data.teacher is None
    assert set(left_out(study)) >= {"fig3"}
    estimator = Estimator(study, Assumptions(), tmp_path)
    assert all(estimator.size(name).parameters == 1.54e9 for name in study.models)
    assert disk.downloads(estimator) == 2 * 2 * 1.54e9
    assert not any(source.revision for source in study.data.sources.values())  # `make pin` writes them

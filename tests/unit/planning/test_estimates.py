"""Estimates behind `make plan`: FLOPs, bytes and hours by hand on small configs, and what must hold for any."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rules import workflow

from rlgen.activations.disk import shard_bytes
from rlgen.dictionaries.settings import Recipe
from rlgen.features.attribution import NODES
from rlgen.features.causes import GATE_SAMPLES, GATE_STEPS
from rlgen.features.elimination import NEIGHBOURS, rounds
from rlgen.interventions.procedure import FAMILY_PROMPTS
from rlgen.interventions.settings import LISTED_BY, Procedure
from rlgen.models.settings import Hold
from rlgen.planning import causes, disk, edits
from rlgen.planning.arithmetic import (
    Assumptions,
    ModelSize,
    dictionary_bytes,
    dictionary_flops,
    dictionary_moved,
    dictionary_weights,
    hours,
)
from rlgen.planning.measured import Timed, correction, dictionary_rates
from rlgen.planning.sizes import NotEstimated, read_size
from rlgen.planning.work import Estimator
from rlgen.study import slices
from rlgen.study.load import load

ROOT = Path(__file__).parents[3]
SMALL = ModelSize(blocks=4, hidden_size=8, parameters=1000)
PLAIN = Assumptions(  # round numbers: 1e12 FLOP/s in all kinds of work
    peak_tflops=1,
    float32_tflops=1,
    utilisation=1,
    generation_utilisation=1,
    transformers_utilisation=1,
    prompt_tokens=10,
    solution_tokens=90,
    choice_tokens=5,
    disk_gb_s=1000,
    memory_gb_s=1e15,  # and nothing for what memory moves, or for many small passes
    pass_s=1e-15,
)
STUDY = {
    "study": "small",
    "seeds": [0],
    "roles": {"reference": "base", "target": "rl", "contrast": "sft"},
    "data": {
        "kind": "sources",
        "problems": "problems",
        "sources": {
            "problems": {"files": ["p.jsonl"], "format": {"kind": "problem", "prompt": "{{ p }}", "answer": "{{ a }}"}},
            "text": {"files": ["t.jsonl"], "format": {"kind": "text"}},
        },
        "teacher": {
            "from": "owner/teacher",
            "size": {"blocks": 10, "hidden_size": 4, "parameters": 5000},
            "samples_per_prompt": 2,
            "max_new_tokens": 1000,
            "max_model_len": 2000,
            "shards": 4,
            "gpus": 2,
        },
        "benchmarks": {"aime24": {}, "sciq": {"options": 4}, "piqa": {"options": 2}},
    },
    "tasks": {"in_domain": ["aime24"], "selection": ["sciq"], "unseen": ["piqa"]},
    "evaluation": {"backend": "vllm", "prompts_per_half": 50, "max_new_tokens": 40, "completion_tokens": 20},
    "models": {
        "base": {"method": "load", "from": "owner/base", "size": {"blocks": 4, "hidden_size": 8, "parameters": 1000}},
        "sft": {
            "method": "sft",
            "parent": "base",
            "examples": 16,
            "batch_size": 4,
            "checkpoints": 2,
            "scale": {"gpus": 2, "max_length": 64},
        },
        "rl": {
            "method": "grpo",
            "parent": "base",
            "prompts": 8,
            "prompts_per_step": 2,
            "rollouts": 4,
            "max_new_tokens": 100,
            "checkpoints": 2,
            "scale": {"gpus": 4, "max_length": 120, "vllm_memory_share": 0.25},
        },
    },
    "stream": {
        "mix": {"text": 1.0},
        "layer": 1,
        "sequence_tokens": 11,
        "rows": 1100,
        "shard_rows": 100,
        "held_out_shards": 1,
        "windows": 5,
        "windows_on_disk": 2,
        "precision": "bfloat16",
    },
    "recipes": {
        "top": {"latents": 32, "k": 4, "steps": 50, "batch_rows": 20, "precision": "bfloat16"},
        "l1": {"objective": "l1", "latents": 16, "steps": 50, "batch_rows": 20, "precision": "bfloat16"},
    },
    "dictionaries": {
        "pair": {"members": ["base", "rl"], "recipes": ["top", "l1"]},
        "joint": {"members": ["base", "sft", "rl"], "recipes": ["top"]},
    },
    "procedures": {
        "own": {"dictionary": "pair", "recipe": "top", "edits": {"base": ["exchange"], "rl": ["exchange", "disable"]}}
    },
    "features": {"course_recipe": "top"},
    "interventions": {
        "doses": [1, 2],
        "random_sets": 3,
        "random_directions": 4,
        "truth_doses": [1],
        "leave_out": ["aime24"],
    },
}


@pytest.fixture(scope="module")
def study():
    return load(STUDY)


@pytest.fixture
def estimator(study, tmp_path):
    return Estimator(study, PLAIN, tmp_path)


def test_a_pass_by_hand():
    # 6 tokens in sequences of 5: 2 * 1000 per token for the weights, 2 * 5 * 8 per token and block for attention
    assert SMALL.forward(6, 5) == 6 * (2000 + 4 * 80)
    assert SMALL.forward(6, 5, blocks=1) == 6 * (500 + 80)
    assert SMALL.training(6, 5, again=False) == 3 * SMALL.forward(6, 5)
    assert SMALL.training(6, 5, again=True) == 4 * SMALL.forward(6, 5)


def test_memory_of_training_by_hand():
    # alone: 16 bytes per weight and a bfloat16 copy; 7 tokens with 4 block inputs of 8 in bfloat16 and 10 logits twice
    assert SMALL.training_bytes(1, 7, 10, again=True) == 16_000 + 2_000 + 7 * (2 * 8 * 4 + 8 * 10)
    assert SMALL.training_bytes(1, 7, 10, again=False) == 16_000 + 2_000 + 7 * (17 * 2 * 8 * 4 + 8 * 10)
    # four GPUs: a quarter each, and copies of two blocks of four
    assert SMALL.training_bytes(4, 7, 10, again=True) == 4_000 + 1_000 + 7 * (64 + 80)
    assert replace(SMALL, vocabulary=20).training_bytes(4, 7, 10, True) == 4_000 + 1_000 + 7 * (64 + 160)


def test_a_dictionary_by_hand():
    # M=3, d=2, S=5: encoder and decoder of 30 numbers, 5 and 6 biases
    assert dictionary_weights(3, 2, 5) == 30 + 30 + 5 + 6
    assert dictionary_flops(7, 3, 2, 5) == 7 * 5 * 60
    assert dictionary_weights(3, 2, 5, 4) == 71 + 4 * 6 + 4 + 4 * 5  # V, c, U of four hidden units
    assert dictionary_flops(7, 3, 2, 5, 4) == 7 * (5 * 60 + 3 * (2 * 4 * 6 + 2 * 4 * 5))
    recipe = Recipe(latents=5, k=2, batch_rows=4, precision="bfloat16")
    assert dictionary_bytes(3, 2, recipe) == 16 * 71 + 4 * (6 * (2 + 8) + 16 * 5)
    assert dictionary_bytes(3, 2, recipe, gpus=2) == 16 * 71 + 2 * (6 * 10 + 80)


def test_what_memory_moves_by_hand():
    # 6 tokens, 3 at a time: 2 passes over 2,000 bytes; each keys and values of half of 10 tokens, 4 blocks of half of 8
    assert SMALL.written_bytes(6, 10, 3, kv_share=0.5) == 2 * 2000 + 6 * 5 * 2 * 2 * 4 * 4
    recipe = Recipe(latents=5, k=2, batch_rows=4)
    assert dictionary_moved(8, 3, 2, recipe) == 2 * 40 * 71 + 8 * 12 * 4 * 5  # 2 steps, 71 weights
    assert Assumptions(memory_gb_s=2, memory_utilisation=0.5).moved(3600e9, gpus=4) == 0.25


def test_writing_takes_what_memory_takes_where_that_is_more(study, tmp_path):
    """One byte per second and GPU: solutions of 10 + 90 tokens, sequences of a step side by side, the longest alone."""
    slow = replace(PLAIN, memory_gb_s=1e-9, memory_utilisation=1, sequences=1000, kv_share=0.5)
    estimator = Estimator(study, slow, tmp_path)
    # RL: 8 solutions a step on 4 GPUs: 2 side by side; 4 steps whose longest has 100 tokens, not more than the mean
    rl = work(estimator, "train_grpo", model="rl", seed="0")
    written, gathered = SMALL.written_bytes(3200, 100, 2, 0.5) / 4, 3200 / 100 / 4 * 3 * 2000
    assert rl.hours * 3600 == pytest.approx(written + gathered)
    longer = slices.train_grpo(study, model="rl", seed="0")
    longer["model"]["scale"]["max_length"], longer["model"]["max_new_tokens"] = 220, 200
    alone = estimator.work("train_grpo", longer).hours - rl.hours
    assert alone * 3600 == pytest.approx(4 * (200 - 100) * 2000)
    teacher = work(estimator, "write_trajectories", seed="0", shard="0")
    assert teacher.hours * 3600 == pytest.approx(ModelSize(10, 4, 5000).written_bytes(800, 100, 1000, 0.5) / 2)


def test_small_passes_of_edits_count(study, tmp_path):
    slow = Estimator(study, replace(PLAIN, pass_s=32 * 3600), tmp_path)
    counted = work(slow, "intervene_benchmarks", procedure="own", seed="0")
    conditions = 2 * (2 + 13 / 2) + (2 + 10 / 2)
    assert counted.hours == pytest.approx(conditions * 100 * (4 + 2))  # in batches of 32


def test_scores_by_cause_by_hand(estimator):
    # 50 solutions of 10 + 20 tokens and 50 choices of 10 + 5; half of the blocks lie above the edit
    half, codes = 2250 * (2000 + 4 * 2 * 8 * 30) / 2, 12 * (50 * 20 + 50 * 15) * 8 * 32
    counted = work(estimator, "attribute_features", procedure="own", seed="0")
    # below: doses, then the path; above: dose 0 and two doses, three nodes forward and back; the goal: whole
    assert counted.hours * 3600e12 == pytest.approx((2 + 3 + 6 + 2) * half + codes)
    assert counted.gpu_bytes == 4 * 1000 + 4 * 2 * 2 * 8 * 32
    cfg = slices.choose_together(estimator.study, procedure="own", seed="0")
    joint = estimator.work("choose_together", cfg | {"score": "elimination", "cut_count": 4})
    assert joint.hours * 3600e12 == pytest.approx((16 + 2 + 7 * 3 + 8 * 6 + 2) * half + 8 * codes)
    assert len(rounds(10_000, 16)) + 1 == causes.ROUNDS and len(NEIGHBOURS) == causes.NEIGHBOURS
    assert (causes.NODES, causes.GATE_STEPS, causes.GATE_SAMPLES) == (NODES, GATE_STEPS, GATE_SAMPLES)
    gates = estimator.work("choose_together", cfg | {"score": "gates"})
    often = 2 * 300 * 192 / 100
    assert gates.hours * 3600e12 == pytest.approx(
        (2 * (often + 1) + 2 * (2 * often + 1) + 4) * half + (often + 1) * codes
    )


def test_maps_between_members_by_hand(estimator):
    counted = work(estimator, "map_members", dictionary="joint")
    assert counted.hours * 3600e12 == pytest.approx(2 * 100 * (3 * 8) ** 2) and counted.tokens == 300
    assert counted.gpu_bytes == 2 * 8 * (3 * 8) ** 2


def test_a_vllm_that_sleeps_shares_the_memory_of_training(estimator):
    cfg = slices.train_grpo(estimator.study, model="rl", seed="0")
    cfg["model"]["scale"]["vllm_sleep"] = True
    assert estimator.work("train_grpo", cfg).gpu_bytes == max(SMALL.training_bytes(4, 120, 150_000, True), 0.25 * 80e9)


def test_hours_are_those_of_the_slower_of_arithmetic_and_disk():
    assert hours(7200e12, 1e12) == 2
    assert hours(7200e12, 1e12, gpus=4) == 0.5
    assert hours(7200e12, 1e12, 1, moved=3 * 3600 * 5e9, disk_gb_s=5) == 3


def test_assumptions_are_refused_by_name():
    with pytest.raises(ValueError, match=r"utilisation: 1\.5, expected a number above 0 and at most 1"):
        Assumptions(utilisation=1.5)
    with pytest.raises(ValueError, match="prompt_tokens: 0, expected a number above 0"):
        Assumptions(prompt_tokens=0)


def work(estimator, script, **wildcards):
    slice_of = getattr(slices, wildcards.pop("slice", script))
    return estimator.work(script, json.loads(json.dumps(slice_of(estimator.study, **wildcards))))


def test_trainings_by_hand(estimator):
    # SFT: 16 examples of 10 + min(90, 64) tokens, four passes with checkpointing, on 2 GPUs
    sft = work(estimator, "train_sft", model="sft", seed="0")
    assert (sft.tokens, sft.gpus) == (16 * 74, 2)
    assert sft.hours == pytest.approx(4 * SMALL.forward(16 * 74, 74) / 2e12 / 3600)
    # RL: 8 prompts x 4 solutions of 10 + 90 tokens: written, read again for vLLM, trained on: six passes on 4 GPUs
    rl = work(estimator, "train_grpo", model="rl", seed="0")
    assert (rl.tokens, rl.gpus) == (3200, 4)
    assert rl.hours == pytest.approx(6 * SMALL.forward(3200, 100) / 4e12 / 3600)
    assert rl.gpu_bytes == SMALL.training_bytes(4, 120, 150_000, True) + 0.25 * 80e9
    # the parent's log-probabilities are one more pass
    cfg = slices.train_grpo(estimator.study, model="rl", seed="0")
    with_kl = estimator.work("train_grpo", cfg | {"model": cfg["model"] | {"beta": 0.1}})
    assert with_kl.hours == pytest.approx(rl.hours * 7 / 6)


def test_the_teacher_by_hand(estimator):
    # 16 problems in 4 shards, 2 solutions each of 10 + 90 tokens, on 2 GPUs
    found = work(estimator, "write_trajectories", seed="0", shard="0")
    teacher = ModelSize(10, 4, 5000)
    assert found.tokens == 16 / 4 * 2 * 100
    assert found.hours == pytest.approx(teacher.forward(800, 100) / 2e12 / 3600)
    assert (found.gpus, found.gpu_bytes) == (2, 5000)


def test_problems_are_counted_once_they_are_there(study, tmp_path):
    path = tmp_path / "data/sources/problems.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n" * 40)
    assert Estimator(study, PLAIN, tmp_path).problems() == 40


MORE = {
    "solutions": {"own": {"of": "base", "prompts": 5, "per_prompt": 3, "max_new_tokens": 30, "max_model_len": 64}},
    "models": STUDY["models"]
    | {
        "large": {"method": "load", "from": "owner/large", "size": {"blocks": 4, "hidden_size": 8, "parameters": 5000}},
        "dpo": {
            "method": "dpo",
            "parent": "base",
            "solutions": "own",
            "pairs": 16,
            "batch_size": 4,
            "checkpoints": 2,
            "scale": {"gpus": 2, "max_length": 64, "gradient_checkpointing": False},
        },
        "again": STUDY["models"]["sft"] | {"solutions": "own"},
        "distil": {
            "method": "distil",
            "parent": "base",
            "teacher": "large",
            "prompts": 8,
            "prompts_per_step": 2,
            "max_new_tokens": 100,
            "checkpoints": 2,
            "scale": {"max_length": 120},
        },
        "rloo": STUDY["models"]["rl"] | {"method": "rloo", "scale": {"max_length": 120, "vllm": "none"}},
        "grpo": STUDY["models"]["rl"] | {"scale": {"max_length": 120, "vllm": "none"}},
    },
    "arms": {"groups": {"others": ["dpo", "distil"], "reward": ["rl", "rloo"]}, "prompts": 20},
}


@pytest.fixture
def more(tmp_path):
    """The study with other ways to train."""
    return Estimator(load(STUDY | MORE), PLAIN, tmp_path)


def test_own_solutions_by_hand(more):
    # 5 problems, 3 solutions of 10 + 30 tokens each; bfloat16 weights
    found = work(more, "sample_solutions", solutions="own", seed="0")
    assert found.tokens == 5 * 3 * 40 and (found.gpu_bytes, found.host_bytes) == (2000, 2000)
    assert found.hours == pytest.approx(SMALL.forward(600, 40) / 1e12 / 3600)
    again = work(more, "train_sft", model="again", seed="0")
    assert again.tokens == 16 * 40  # what was written is shorter than what may be learnt


def test_preferences_by_hand(more):
    # 16 pairs, both sides of 10 + 30 tokens: three passes of the policy and one of its parent, on 2 GPUs
    found = work(more, "train_dpo", model="dpo", seed="0")
    assert (found.tokens, found.gpus) == (2 * 16 * 40, 2)
    assert found.hours == pytest.approx(4 * SMALL.forward(1280, 40) / 2e12 / 3600)
    # both sides of a pair of up to 64 tokens, and half of the parent in float32
    assert found.gpu_bytes == SMALL.training_bytes(2, 2 * 64, 150_000, False) + 4 * 1000 / 2
    assert found.host_bytes == 2 * 4 * 1000


def test_distillation_by_hand(more):
    # 8 texts of 10 + 90 tokens: written, four passes in training, and one of a teacher five times as large
    found = work(more, "train_distil", model="distil", seed="0")
    assert (found.tokens, found.gpus) == (800, 1)
    flops = (1 + 4) * SMALL.forward(800, 100) + ModelSize(4, 8, 5000).forward(800, 100)
    assert found.hours == pytest.approx(flops / 1e12 / 3600)
    assert found.gpu_bytes == SMALL.training_bytes(1, 120, 150_000, True) + 4 * 5000
    assert found.host_bytes == 4 * 6000


def test_sft_held_to_an_edit_by_hand(more):
    """The parent, in float32 beside the model, reads all texts up to the edited block, the second of four."""
    free = more.study.models["again"].model_copy(update={"solutions": None})
    held = free.model_copy(update={"holds": Hold(procedure="own")})
    study = more.study.model_copy(update={"models": more.study.models | {"free": free, "held": held}})
    found, plain = (
        work(Estimator(study, PLAIN, more.results), "train_sft", model=name, seed="0") for name in ("held", "free")
    )
    gpus, length = plain.gpus, plain.tokens / free.examples
    assert (found.hours - plain.hours) * 3600 == pytest.approx(SMALL.forward(plain.tokens, length, 2) / 1e12 / gpus)
    assert (found.gpu_bytes - plain.gpu_bytes, found.host_bytes - plain.host_bytes) == (4 * 1000, 4 * 1000)


def test_rloo_reads_its_samples_once_more_than_grpo(more):
    of_rloo, of_grpo = (work(more, "train_grpo", model=model, seed="0") for model in ("rloo", "grpo"))
    assert of_grpo.hours == pytest.approx(5 * SMALL.forward(3200, 100) / 1e12 / 3600)  # written, and four passes
    assert of_rloo.hours == pytest.approx(of_grpo.hours * 6 / 5) and of_rloo.tokens == of_grpo.tokens


@pytest.mark.parametrize("model", ["dpo", "distil"])
def test_training_without_a_scale_is_named(more, model):
    bare = {k: v for k, v in MORE["models"][model].items() if k != "scale"}
    study = more.study.model_copy(
        update={"models": more.study.models | {model: type(more.study.models[model]).model_validate(bare)}}
    )
    with pytest.raises(NotEstimated, match=rf"models\.{model}\.scale is missing"):
        work(Estimator(study, PLAIN, more.results), f"train_{model}", model=model, seed="0")


def test_the_distance_of_an_arm_by_hand(more):
    # 20 prompts of aime24 and of sciq, 10 + 20 tokens each: written by the reference, whole; then two checkpoints
    # and the reference read them, whole for the head and through two of four blocks for the stream
    found = work(more, "measure_arm", model="dpo", seed="0")
    written, read = 2 * 20 * 30, 2 * 2 * 2 * 20 * 30
    assert found.tokens == written + 2 * read
    flops = SMALL.forward(written, 30) + SMALL.forward(read, 30) + SMALL.forward(read, 30, 2)
    assert found.hours == pytest.approx(flops / 1e12 / 3600)
    assert (found.gpu_bytes, found.host_bytes) == (2 * 2 * 1000, 2 * 2 * 1000)
    cfg = slices.measure_arm(more.study, model="dpo", seed="0")
    watched = more.work("measure_arm", cfg | {"readout": "swap"})  # both streams by a dictionary of 32 latents
    assert watched.hours - found.hours == pytest.approx(read * 2 * 8 * 32 / 1e12 / 3600)


def test_answers_by_hand(estimator):
    # one of two groups: 100 prompts of aime24 with 10 + 40 written tokens, 100 of sciq with 4 choices of 10 + 5 tokens
    known = work(estimator, "evaluate_benchmarks", model="sft", seed="0", tasks="known")
    assert known.tokens == 2 * (100 * 50 + 100 * 4 * 15)
    flops = SMALL.forward(2 * 100 * 50, 50) + SMALL.forward(2 * 100 * 4 * 15, 15)
    assert known.hours == pytest.approx(flops / 1e12 / 3600)


def test_harvests_by_hand(estimator):
    # a window of the two states of rl that are read (one): 2 shards of 100 rows, 11 tokens for 10 rows, 2 of 4 blocks
    found = work(estimator, "harvest", slice="harvest_window", model="rl")
    assert found.tokens == 200 * 11 / 10
    assert found.hours == pytest.approx(SMALL.forward(220, 11, 2) / 1e12 / 3600)
    assert found.host_bytes == 2 * 1000 + 2 * 100 * (2 * 8 + 12)  # shards as small as these are read together
    slow = Estimator(estimator.study, replace(PLAIN, disk_gb_s=1e-6), estimator.results)
    assert work(slow, "harvest", slice="harvest_window", model="rl").hours == pytest.approx(200 * 28 / 1e3 / 3600)


def test_dictionaries_by_hand(estimator):
    found = work(estimator, "train_window", dictionary="joint", recipe="top", seed="0", window="1")
    assert found.tokens == 50 / 5 * 20
    assert found.hours == pytest.approx(200 * 10 * 3 * 8 * 32 / 1e12 / 3600)
    assert found.host_bytes == 2 * 2 * 100 * 3 * 8 * 2  # two rings, of all two shards of a window
    assert found.training.kind == "batchtopk bfloat16"


def test_measuring_a_dictionary_holds_a_model_the_dictionary_and_one_members_rows(estimator):
    found = work(estimator, "measure_dictionary", dictionary="joint")
    assert found.gpu_bytes == 2 * 1000 + 4 * 2 * 3 * 8 * 32 + 100 * 8 * 2
    assert found.host_bytes == 2 * 100 * 3 * 8 * 2 + 2 * 1000


def test_edits_by_hand(estimator):
    # exchange: 2 doses on all samples; on the test half 3 random and 3 rotated sets, 1 by NRN, 2 shifts, 4 directions
    # disable: no rotated sets
    conditions = 2 * (2 + 13 / 2) + (2 + 10 / 2)
    # sciq and piqa: 100 prompts each, read once per running state; choices and the goal's text under every condition
    tokens = 2 * 2 * 100 * 10 + conditions * 100 * (5 + 3) * 5
    found = work(estimator, "intervene_benchmarks", procedure="own", seed="0")
    assert found.tokens == pytest.approx(tokens)
    assert found.hours == pytest.approx(SMALL.forward(tokens, 15) / 1e12 / 3600)


def test_single_edits_for_the_pages_by_hand(estimator):
    """Sets of 32 or more: on 30 and on 6 test prompts of sciq and piqa each; first both goals answer all 100."""
    # three edits of two states; per prompt and condition four choices or two, and the goal's text, of 5 tokens each
    goals = 2 * 2 * 100 * 10 + 2 * 100 * (5 + 3) * 5
    alone = 3 * 2 * 30 * 10 + 3 * (32 + 1) * 30 * (5 + 3) * 5
    written = 3 * 2 * 6 * 10 + 3 * 2 * 6 * (5 + 3) * 5
    found = work(estimator, "edit_alone_benchmarks", procedure="own", seed="0")
    assert found.tokens == goals + alone + written
    assert found.hours == pytest.approx(SMALL.forward(found.tokens, 15) / 1e12 / 3600)
    assert (found.gpu_bytes, found.host_bytes) == (2 * 1000, 2 * 1000)
    few = estimator.study.procedures["own"].model_copy(update={"cut": "top", "cut_count": 4})
    study = estimator.study.model_copy(update={"procedures": {"own": few}})
    counted = work(Estimator(study, PLAIN, estimator.results), "edit_alone_benchmarks", procedure="own", seed="0")
    assert found.tokens - counted.tokens == 3 * (32 - 4) * 30 * (5 + 3) * 5


def test_an_edit_on_its_own_by_hand(estimator):
    """The explained model answers 100 prompts of sciq, which chooses doses, and the reference reads prompts, too."""
    found = work(estimator, "export_edit_benchmarks", procedure="own", set="selected", seed="0")
    assert found.tokens == 2 * 100 * 10 + 100 * (4 + 1) * 5
    assert found.hours == pytest.approx(SMALL.forward(found.tokens, 15) / 1e12 / 3600)
    assert (found.gpu_bytes, found.host_bytes) == (2 * 1000, 2 * 1000)


def test_varied_sets_by_hand(tmp_path):
    """Four rankings at three sizes, all latents, and two choices of one task: 15 sets, in two models."""
    own = STUDY["procedures"]["own"] | {"score": "attribution"}
    extended = {"procedure": "own", "sizes": [1, 2, 4], "left_out": 1}
    estimator = Estimator(load(STUDY | {"procedures": {"own": own}, "extended": extended}), PLAIN, tmp_path)
    goals = 2 * 2 * 100 * 10 + 2 * 100 * (5 + 3) * 5
    doses = 2 * 15 * 2 * (30 + 30) * 15  # on 30 prompts of either task with what the goal chose, 10 + 5 tokens
    answers = 2 * 2 * 100 * 10 + 2 * 15 / 2 * 100 * (5 + 3) * 5  # the test half
    found = work(estimator, "vary_sets_benchmarks", seed="0")
    assert found.tokens == goals + doses + answers
    assert found.hours == pytest.approx(SMALL.forward(found.tokens, 15) / 1e12 / 3600)
    slow = Estimator(estimator.study, replace(PLAIN, pass_s=32 * 3600), tmp_path)
    passes = 2 * 100 * (4 + 2) + 2 * 15 * 2 * 60 + 2 * 15 / 2 * 100 * (4 + 2)  # in batches of 32
    assert work(slow, "vary_sets_benchmarks", seed="0").hours == pytest.approx(passes)
    own |= {"score": "elimination", "cut": "top", "cut_count": 4}  # a ranking of all tasks at once is one more
    joint = Estimator(load(STUDY | {"procedures": {"own": own}, "extended": extended}), PLAIN, tmp_path)
    more = work(joint, "vary_sets_benchmarks", seed="0").tokens - found.tokens
    assert more == 2 * 3 * (2 * 60 * 15 + 100 * (5 + 3) * 5 / 2)


def test_varied_sets_are_counted_as_their_job_makes_them():
    apart = {*get_args(Procedure.model_fields["score"].annotation)} - {*LISTED_BY}
    assert len(apart) == edits.SCORES
    assert edits.FAMILY_PROMPTS == FAMILY_PROMPTS


def test_the_pages_of_latents_by_hand(estimator):
    # 100 held-out rows: 8 times by the code of 3 members of width 8, twice by each one's own; 32 latents with each
    # other, and with the heads of three models and once more, 150,000 tokens
    found = work(estimator, "inspect_latents", dictionary="joint")
    assert found.tokens == (8 + 3 * 2) * 100
    flops = 100 * (8 + 2) * 2 * 3 * 8 * 32 + 2 * 3 * 8 * 32**2 + 4 * 2 * 8 * 32 * 150_000
    assert found.hours == pytest.approx(flops / 1e12 / 3600)
    assert found.gpu_bytes == 4 * (2 * 3 * 8 * 32 + 8 * 150_000)
    assert found.host_bytes == 2 * 100 * 3 * 8 * 2


def test_disk_by_hand(estimator):
    sizes = {part.name: part.bytes for part in disk.disk_parts(estimator)}
    row = 2 * 8 + 12
    assert sizes["models, kept checkpoints"] == 2 * 1000 * (1 + 2 + 2)
    assert sizes["states of models in training"] == 12 * 1000 * 2
    assert sizes["the hub's cache, from downloads of models"] == 2 * (1000 + 5000)
    assert sizes["the teacher"] == 2 * 5000
    assert sizes["the teacher's solutions"] == 16 * 2 * 90 * 4
    assert sizes["activations, kept shards"] == 3 * 1 * 100 * row
    assert sizes["activations, windows on the disk (2 of 5)"] == 3 * 2 * 2 * 100 * row
    weights = dictionary_weights(2, 8, 32) + dictionary_weights(2, 8, 16) + dictionary_weights(3, 8, 32)
    assert sizes["dictionaries"] == 4 * weights
    assert disk.activations_gb(estimator) == pytest.approx(3 * 5 * 100 * row / 1e9)
    assert shard_bytes(estimator.study.stream, 8) == 100 * row


def test_a_size_that_is_missing_is_named_and_nothing_is_made_up(tmp_path):
    without = STUDY | {"models": STUDY["models"] | {"base": {"method": "load", "from": "owner/base"}}}
    estimator = Estimator(load(without), PLAIN, tmp_path)
    with pytest.raises(NotEstimated, match=r"models\.base\.size is missing \(blocks, hidden_size, parameters\)"):
        work(estimator, "train_grpo", model="rl", seed="0")
    parts = {part.name: part for part in disk.disk_parts(estimator)}
    assert parts["dictionaries"].bytes is None and "models.base.size" in parts["dictionaries"].note
    assert parts["the teacher"].bytes == 2 * 5000


def test_a_folder_tells_its_size(tmp_path):
    content = {"num_hidden_layers": 4, "hidden_size": 8, "vocab_size": 77, "dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_size(tmp_path) is None  # no weights
    (tmp_path / "model.safetensors").write_bytes(bytes(2000))
    assert read_size(tmp_path) == ModelSize(4, 8, 1000, 77)
    (tmp_path / "config.json").write_text("{}")
    assert read_size(tmp_path) is None
    assert read_size(tmp_path / "nowhere") is None


ORGANISM_JOBS = {
    "inspect_latents": {"dictionary": "base-rl"},
    "edit_alone": {"procedure": "elimination", "seed": "3"},
    "intervene": {"procedure": "elimination", "seed": "3"},
    "steer": {"seed": "3"},
    "vary_sets": {"seed": "3"},
}


@pytest.mark.parametrize("script", ORGANISM_JOBS)
def test_of_the_organism_nothing_is_known(script, tmp_path):
    organism = Estimator(load(yaml.safe_load((ROOT / "config/config.yaml").read_text())), PLAIN, tmp_path)
    with pytest.raises(NotEstimated, match="models of the organism: nothing is known until a job has run"):
        work(organism, script, **ORGANISM_JOBS[script])


@pytest.mark.parametrize("config", ["qwen3-4b", "smollm2"])
def test_all_work_of_gpus_on_real_models_has_an_estimate(config):
    parsed = workflow(f"config/{config}.yaml").rules
    asking = [rule for rule in parsed if "gpu" in rule.resources and rule.resources["gpu"].raw]
    used = {dict(rule.params.items())["script"] for rule in asking}
    assert len(used) > 10
    assert {script for script in used if not hasattr(Estimator, f"_{script}")} <= {"build_mixed_stream"}  # texts


# What was measured.


def test_measured_jobs_correct_the_estimates_of_others():
    half_as_fast = correction([Timed(7200, 1.0, True), Timed(14400, 2.0, True)])
    assert (half_as_fast.jobs, half_as_fast.hours(3.0)) == (2, 6.0)
    assert correction([Timed(7200, None, True), Timed(3600, None, True)]).hours(None) == 1.5
    assert correction([]) is None


def test_jobs_whose_settings_changed_count_only_where_there_are_no_others():
    assert correction([Timed(7200, 1.0, True), Timed(36000, 1.0, False)]).hours(1.0) == 2
    assert correction([Timed(36000, 1.0, False)]).hours(1.0) == 10


def test_dictionary_steps_on_a_gpu_are_read_and_what_was_not_run_is_not(tmp_path):
    row = {"work": "training on a GPU, batchtopk, M=3, d=2560, S=32768, B=4096, k=50, bfloat16", "unit": "tokens/s"}
    rows = [
        row | {"ours": 1e5, "met": "yes", "machine": "a GPU"},
        row
        | {"work": row["work"].replace("batchtopk", "l1"), "ours": float("nan"), "met": "not run", "machine": "none"},
        row | {"work": "L1 step, M=3, d=128, S=2048, B=1024, k=16", "ours": 47.0, "met": "no", "machine": "a CPU"},
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "speed.csv", index=False)
    rate = 1e5 * 10 * 3 * 2560 * 32768
    assert dictionary_rates(tmp_path / "speed.csv") == {"batchtopk bfloat16": (rate, "a GPU")}
    assert dictionary_rates(tmp_path / "none.csv") == {}


def test_the_names_in_the_benchmark_table_are_the_ones_that_are_read(tmp_path):
    table = pd.read_csv(ROOT / "docs/speed.csv")
    own = table[table["work"].str.startswith("training on a GPU")]
    assert len(own) == 2
    own.assign(ours=10.0, met="yes", unit="tokens/s").to_csv(tmp_path / "speed.csv", index=False)
    assert set(dictionary_rates(tmp_path / "speed.csv")) == {"batchtopk bfloat16", "l1 bfloat16"}


# What must hold for any sizes.

numbers = st.integers(1, 10_000)
sizes = st.builds(ModelSize, blocks=st.integers(1, 100), hidden_size=numbers, parameters=st.floats(1, 1e12))


@given(sizes, numbers, numbers, numbers, numbers)
def test_more_tokens_longer_sequences_and_deeper_reading_never_take_less(size, tokens, more, length, longer):
    small = size.forward(tokens, length)
    assert small <= size.forward(tokens + more, length)
    assert small <= size.forward(tokens, length + longer)
    passes = [size.forward(tokens, length, blocks) for blocks in range(1, size.blocks + 1)]
    assert passes == sorted(passes) and passes[-1] == pytest.approx(small)


@given(sizes, numbers, numbers, st.booleans())
def test_wider_and_larger_models_never_take_less(size, more, tokens, again):
    larger = replace(size, hidden_size=size.hidden_size + more, parameters=size.parameters + more)
    assert size.training(tokens, 100, again) <= larger.training(tokens, 100, again)
    assert size.training_bytes(2, tokens, 1000, again) <= larger.training_bytes(2, tokens, 1000, again)


@given(st.floats(0, 1e20), st.floats(1e9, 1e15), st.integers(1, 64), st.integers(1, 64), st.floats(0, 1e15))
def test_more_gpus_never_take_more_hours_or_memory_each(flops, rate, gpus, more, moved):
    assert hours(flops, rate, gpus + more, moved) <= hours(flops, rate, gpus, moved)
    assert SMALL.training_bytes(gpus + more, 100, 50, True) <= SMALL.training_bytes(gpus, 100, 50, True)
    recipe = Recipe(latents=8, k=2)
    assert dictionary_bytes(2, 4, recipe, gpus + more) <= dictionary_bytes(2, 4, recipe, gpus)


@given(st.integers(1, 12), numbers, numbers, numbers)
def test_wider_dictionaries_over_more_members_never_take_less(members, d, latents, rows):
    base = dictionary_flops(rows, members, d, latents)
    larger = [(rows + 1, members, d, latents), (rows, members + 1, d, latents), (rows, members, d + 1, latents)]
    assert all(base < dictionary_flops(*shape) for shape in [*larger, (rows, members, d, latents + 1)])


@pytest.mark.parametrize("name", [one.name for one in fields(Assumptions)])
def test_every_assumption_bears_on_the_estimates(every_branch, name):
    assumed = Assumptions(solution_tokens=30, disk_gb_s=0.001 if name == "disk_gb_s" else 2)
    if name in ("memory_gb_s", "memory_utilisation", "kv_share", "sequences"):
        assumed = replace(assumed, memory_gb_s=1e-3, sequences=1.5)  # else arithmetic takes longer
    changed = replace(assumed, **{name: getattr(assumed, name) / 2})
    assert outcomes(every_branch, assumed) != outcomes(every_branch, changed)


@pytest.fixture(scope="module")
def every_branch():
    """The study with float32 dictionaries, written solutions under edits, and a benchmark without `options`."""
    content = json.loads(json.dumps(STUDY))
    content["interventions"]["leave_out"] = []
    content["recipes"]["top"]["precision"] = "float32"
    del content["data"]["benchmarks"]["piqa"]["options"]
    return load(content)


def outcomes(study, assumed):
    """Hours and memory of one job of every kind."""
    estimator = Estimator(study, assumed, Path("nowhere"))
    jobs = [
        work(estimator, "write_trajectories", seed="0", shard="0"),
        work(estimator, "train_sft", model="sft", seed="0"),
        work(estimator, "train_grpo", model="rl", seed="0"),
        work(estimator, "evaluate_benchmarks", model="rl", seed="0", tasks="known"),
        work(estimator, "evaluate_benchmarks", model="rl", seed="0", tasks="unseen"),
        work(estimator, "harvest", slice="harvest_window", model="rl"),
        work(estimator, "harvest_benchmark_completions", model="rl"),
        work(estimator, "train_window", dictionary="pair", recipe="top", seed="0", window="1"),
        work(estimator, "measure_dictionary", dictionary="pair"),
        work(estimator, "intervene_benchmarks", procedure="own", seed="0"),
        work(estimator, "steer_benchmarks", seed="0"),
    ]
    return [(job.hours, job.gpu_bytes, job.host_bytes) for job in jobs]

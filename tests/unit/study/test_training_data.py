"""What SFT and RL read: with a teacher SFT learns at most what it solved, RL reads every problem."""

import pytest
from rules import workflow
from studies import REMOVE, changed, content_of

from rlgen.study import slices
from rlgen.study.load import load
from rlgen.study.paths import Paths

PAPER, ORGANISM = "config/qwen3-4b.yaml", "config/config.yaml"


def rule(config: str, name: str):
    return next(rule for rule in workflow(config).rules if rule.name == name)


def test_with_a_teacher_rl_reads_the_problems_and_sft_the_solutions():
    training = "results/qwen3-4b/data/training/seed{seed}.jsonl"
    problems = "results/qwen3-4b/data/problems/seed{seed}.jsonl"
    assert training in map(str, rule(PAPER, "train_sft_sft").input)
    assert problems in map(str, rule(PAPER, "train_grpo_rl").input)
    assert training not in map(str, rule(PAPER, "train_grpo_rl").input)
    (drawn,) = rule(PAPER, "draw_problems").output
    assert str(drawn).startswith(problems.partition("{")[0])
    assert [str(path) for path in rule(PAPER, "draw_problems").input] == [
        "results/qwen3-4b/data/sources/problems.jsonl"
    ]


def test_the_organism_reads_one_file():
    training = "results/testbed/data/training/seed{seed}.jsonl"
    for name in ("train_sft_sft", "train_grpo_rl"):
        assert training in map(str, rule(ORGANISM, name).input)


def test_the_teachers_yield_is_bounded_by_what_no_training_can_do_without():
    study = load(changed(content_of("qwen3-4b"), models__sft__examples=46976, models__rl__prompts=45056))
    collected = slices.collect_trajectories(study, "3")
    assert (collected["examples"], collected["at_least"]) == (46976, 128 * 5)  # a step for every checkpoint
    assert slices.draw_problems(study, "3") == {"seed": 3, "examples": 45056, "completions": False}


@pytest.mark.parametrize("name", ["qwen3-4b"])
def test_without_a_teacher_both_read_the_same_problems(name):
    study = load(changed(content_of(name), data__teacher=REMOVE, data__sources__problems__format__completion="{{ c }}"))
    places = Paths(study)
    assert places.prompts(0) == places.training(0)
    assert slices.draw_problems(study, "0") == {"seed": 0, "examples": 46976, "completions": True}

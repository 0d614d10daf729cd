"""The files of the organism's data: evaluation samples, their lm-eval task, and the training examples."""

import re

import numpy as np
from pydantic import Field

from rlgen.behaviour.settings import Evaluation
from rlgen.organism.families import EOS, FAMILIES
from rlgen.organism.language import distinct_problems, right_completion, teacher_completion
from rlgen.organism.settings import Split
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tasks.samples import HALVES, Example, Sample, prompt_id


class MakeTask(Strict):
    """The slice that `scripts/data/make_task.py` receives."""

    salt: str = Field(description="of the hash that splits prompt spaces")
    task: str
    role: str
    split: Split
    evaluation: Evaluation


class MakeTrainingSet(Strict):
    """The slice that `scripts/data/make_training_set.py` receives."""

    salt: str = Field(description="of the hash that splits prompt spaces")
    seed: int = Field(ge=0)
    tasks: list[str] = Field(min_length=1, description="in-domain tasks")
    split: Split
    examples: int = Field(ge=1, description="as many as the longest training takes")


def evaluation_samples(task: str, role: str, n_per_half: int, salt: str, split: Split) -> list[Sample]:
    """`n_per_half` distinct prompts of the discovery part of a family's prompt space, then as many of the test part.

    They belong to the study, not to its seeds: every repetition is judged on the same prompts.
    Raises ValueError where a part holds fewer prompts.
    """
    family, samples = FAMILIES[task], []
    for half in HALVES:
        rng = np.random.default_rng(stream_seed(0, salt, task, half))
        try:
            problems = distinct_problems(family, half, n_per_half, salt, split, rng)
        except ValueError as error:
            raise ValueError(f"evaluation.prompts_per_half: {error}") from None
        samples += [
            Sample(task, role, half, prompt_id(p.prompt), p.prompt, p.answer, family.states, tuple(p.states))
            for p in problems
        ]
    return samples


def lm_eval_task(task: str, samples_path: str, evaluation: Evaluation) -> dict:
    """The lm-eval task (content of its YAML) that gives the accuracy on the test half of `samples_path`.

    `samples_path` is relative to the folder in which lm_eval is started. Discovery rows come first in that file.
    """
    n, marker = evaluation.prompts_per_half, re.escape(evaluation.answer_marker)
    return {
        "task": task,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"samples": samples_path},
            "split": {"discovery": f"samples[:{n}]", "test": f"samples[{n}:]"},
        },
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": [EOS], "do_sample": False, "max_gen_toks": evaluation.max_new_tokens},
        "filter_list": [
            {
                "name": "answer",
                "filter": [
                    # As rlgen.tasks.answers.final_answer: the word after the first answer marker.
                    {"function": "regex", "regex_pattern": rf"(?:^|\s){marker}\s+(\S+)"},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1},
    }


def training_examples(tasks: list[str], n: int, salt: str, split: Split, seed: int) -> list[Example]:
    """`n` distinct prompts of the training part, spread evenly over `tasks` and shuffled, with the teacher's text
    and the same solution in the language of pretraining.

    Raises ValueError where a family's training part holds too few.
    """
    problems = []
    for i, task in enumerate(tasks):
        share = n // len(tasks) + (i < n % len(tasks))
        rng = np.random.default_rng(stream_seed(seed, salt, "training", task))
        problems += distinct_problems(FAMILIES[task], "training", share, salt, split, rng)
    order = np.random.default_rng(stream_seed(seed, salt, "training")).permutation(n)
    drawn = [problems[i] for i in order]
    return [Example(p.prompt, teacher_completion(p), p.answer, right_completion(p)) for p in drawn]

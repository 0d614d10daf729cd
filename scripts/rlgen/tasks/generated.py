"""Problems that reasoning-gym generates: documents of a family at a difficulty, and the task that asks them.

The task is an ordinary one of lm-eval (`generate_until`). Three filters say how an answer is read out of a text; their
metric is `exact_match`: the text found is the answer, character by character. reasoning-gym's own scorers are not used:
some raise on free text, and some give part of a point for a wrong answer.
"""

from importlib.metadata import version
from typing import Any

from rlgen.files import ArtifactError
from rlgen.tasks.settings import Benchmark, Generated

SPLIT = "test"
NUMBER = r"(-?\d+(?:\.\d+)?)"
FILTERS = {
    "whole": [{"function": "regex", "regex_pattern": r"(?s)^\s*(.*?)\s*$"}],
    "last-number": [{"function": "regex", "regex_pattern": NUMBER, "group_select": -1}],
    "last-line": [{"function": "regex", "regex_pattern": r"([^\n]*\S)\s*$"}],
}  # name -> lm-eval's filter steps; of several matches or samples the first is taken
INSTALL = "install reasoning-gym (requirements-smollm2.txt)"


def documents(generated: Generated) -> list[dict[str, Any]]:
    """The distinct problems of a family: question, answer, and both as the turns of a conversation (`messages`).

    They depend on the config alone. Raises ArtifactError where reasoning-gym is not installed, knows no such family, or
    refuses its settings.
    """
    try:
        from reasoning_gym import create_dataset
    except ImportError as error:
        raise ArtifactError(f"family {generated.family}", f"reasoning-gym is missing ({error})", INSTALL) from error
    try:
        drawn = create_dataset(generated.family, size=generated.size, seed=generated.seed, **generated.config)
        items = [drawn[i] for i in range(generated.size)]
    except Exception as error:  # families assert, raise and look up as they like
        problem = f"reasoning-gym refuses it ({type(error).__name__}: {error})"
        raise ArtifactError(f"family {generated.family} with {generated.config}", problem, "mend `generate`") from error
    found = {}
    for item in items:
        question, answer = str(item["question"]).strip(), str(item["answer"]).strip()
        if question and answer:
            found.setdefault(question, _document(question, answer))
    return list(found.values())


def generator() -> dict[str, str]:
    """What generates problems, and its version: another one may draw others."""
    return {"reasoning-gym": version("reasoning-gym")}


def _document(question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"question": question, "answer": answer, "messages": turns}


def generated_config(name: str, benchmark: Benchmark) -> dict[str, Any]:
    """lm-eval's configuration of a generated task, without its documents: a YAML file holds all of it."""
    return {
        "task": name,
        "output_type": "generate_until",
        "test_split": SPLIT,
        "doc_to_text": benchmark.prompt or "{{ question }}",
        "doc_to_target": "{{ answer }}",
        "generation_kwargs": {"until": [], "do_sample": False},
        "filter_list": [
            {"name": filter, "filter": [*steps, {"function": "take_first"}]} for filter, steps in FILTERS.items()
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }

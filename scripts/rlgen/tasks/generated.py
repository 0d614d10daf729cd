"""Problems that reasoning-gym generates: documents of a family at a difficulty, and the task that asks them.

The task is an ordinary one of lm-eval (`generate_until`). Three filters say how an answer is read out of a text; their
metric is `exact_match`: the text found is the answer, character by character. reasoning-gym's own scorers are not used:
some raise on free text, and some give part of a point for a wrong answer.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from pydantic import Field

from rlgen.files import ArtifactError
from rlgen.strict import Strict
from rlgen.tasks.settings import Benchmark, Generated

SPLIT = "test"
QUESTION = "{{ question }}"
NUMBER = r"(-?\d+(?:\.\d+)?)"
FILTERS = {
    "whole": [{"function": "regex", "regex_pattern": r"(?s)^\s*(.*?)\s*$"}],
    "last-number": [{"function": "regex", "regex_pattern": NUMBER, "group_select": -1}],
    "last-line": [{"function": "regex", "regex_pattern": r"([^\n]*\S)\s*$"}],
}  # name -> lm-eval's filter steps; of several matches or samples the first is taken
INSTALL = "install reasoning-gym (requirements-smollm2.txt)"
SOLVER = "pycosat"  # in C and without wheels; reasoning-gym imports it always and needs it for zebra_puzzles alone


class ExportTask(Strict):
    """The slice that `scripts/data/export_task.py` receives."""

    task: str
    benchmark: Benchmark
    max_new_tokens: int = Field(ge=1, description="longest completion, tokens")


def documents(generated: Generated) -> list[dict[str, Any]]:
    """The distinct problems of a family: question, answer, and both as the turns of a conversation (`messages`).

    They depend on the config alone. Raises ArtifactError where reasoning-gym is not installed, knows no such family, or
    refuses its settings.
    """
    try:
        create_dataset = _generator_of_problems()
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


def exported_config(name: str, benchmark: Benchmark, docs_path: str, discovery: int, max_new_tokens: int) -> dict:
    """The content of a YAML file by which `lm_eval` alone gives the accuracy on the test half.

    `docs_path`, relative to where lm_eval is started, holds the `discovery` documents of the other half first. With
    `--apply_chat_template` where the study asks in turns.
    """
    config = generated_config(name, benchmark)
    config["generation_kwargs"]["max_gen_toks"] = max_new_tokens
    wanted = (benchmark.metric or "exact_match").partition(",")[2]
    config["filter_list"].sort(key=lambda steps: steps["name"] != wanted)  # stable: the wanted reading comes first
    files = {"data_files": {"docs": docs_path}, "split": {SPLIT: f"docs[{discovery}:]"}}
    return {"task": name, "dataset_path": "json", "dataset_kwargs": files} | config


def generator() -> dict[str, str]:
    """What generates problems, and its version: another one may draw others."""
    return {"reasoning-gym": version("reasoning-gym")}


def _generator_of_problems() -> Callable[..., Any]:
    """reasoning-gym's own, also where the solver is not installed; the family that needs it then says so."""
    missing = "reasoning_gym" not in sys.modules and find_spec(SOLVER) is None
    if missing:
        stand_in = ModuleType(SOLVER)
        stand_in.__getattr__ = _solver_is_missing
        sys.modules[SOLVER] = stand_in
    try:
        from reasoning_gym import create_dataset
    finally:
        if missing:
            del sys.modules[SOLVER]  # nobody else takes it for the solver
    return create_dataset


def _solver_is_missing(name: str) -> None:
    raise ImportError(f"{SOLVER} is not installed; `pip install {SOLVER}` builds it with a C compiler")


def _document(question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"question": question, "answer": answer, "messages": turns}


def asked(benchmark: Benchmark, count: int) -> tuple[list[str], list[str]]:
    """The first `count` problems of a generated task as it asks them, and their answers."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    template = ImmutableSandboxedEnvironment().from_string(benchmark.prompt or QUESTION)
    found = documents(benchmark.generate)[:count]
    return [template.render(doc) for doc in found], [doc["answer"] for doc in found]


def generated_config(name: str, benchmark: Benchmark) -> dict[str, Any]:
    """lm-eval's configuration of a generated task, without its documents: a YAML file holds all of it."""
    return {
        "task": name,
        "output_type": "generate_until",
        "test_split": SPLIT,
        "doc_to_text": benchmark.prompt or QUESTION,
        "doc_to_target": "{{ answer }}",
        "generation_kwargs": {"until": [], "do_sample": False},
        "filter_list": [
            {"name": filter, "filter": [*steps, {"function": "take_first"}]} for filter, steps in FILTERS.items()
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }

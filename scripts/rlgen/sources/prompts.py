"""Prompts of a shipped task, rendered as lm-eval renders them, and split by their hash into two halves."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError
from pydantic import Field
from transformers import PreTrainedTokenizerFast

from rlgen.files import ArtifactError, all_finite
from rlgen.models.tokens import check_kept
from rlgen.strict import Strict
from rlgen.tasks.samples import HALVES, Sample, prompt_id
from rlgen.tasks.settings import Benchmark
from rlgen.tasks.shipped import FEWSHOT_SEED, choices_and_answer, evaluated_split

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask


class MakeBenchmark(Strict):
    """The slice that `scripts/data/make_benchmark.py` receives."""

    task: str = Field(description="name of the task in lm-eval")
    role: str
    benchmark: Benchmark
    chat: bool
    prompts_per_half: int = Field(ge=1)
    max_new_tokens: int = Field(ge=1, description="with it, a prompt has to fit the reference's context")


@dataclass(frozen=True)
class BenchmarkSamples:
    """Samples, their documents as published, in the same order, and how many documents were left out why."""

    samples: list[Sample]
    documents: list[dict[str, Any]]
    counts: dict[str, int]


def benchmark_samples(
    task: "ConfigurableTask",
    role: str,
    prompts_per_half: int,
    tokenizer: PreTrainedTokenizerFast | None = None,
    training_prompts: Iterable[str] = (),
) -> BenchmarkSamples:
    """At most `prompts_per_half` distinct prompts of each half, in the order of their hashes; discovery first.

    With a tokenizer, prompts go through its chat template. A document is left out where its question was asked before
    or is part of a training prompt. Raises ArtifactError where a half stays empty.
    """
    name, chat = task.config.task, tokenizer is not None
    split = evaluated_split(task.config.to_dict(keep_callable=True))
    seen, trained = set(), "\0".join(map(_normal, training_prompts))
    halves: dict[str, list[tuple[Sample, dict]]] = {half: [] for half in HALVES}
    counts = {"documents": 0, "repeated": 0, "in_training": 0}
    for raw, doc, prompt in _rendered(task, task.dataset[split], tokenizer):
        counts["documents"] += 1
        question = task.doc_to_text(doc)
        if question in seen:
            counts["repeated"] += 1
            continue
        seen.add(question)
        if _normal(_core(doc, question)) in trained:
            counts["in_training"] += 1
            continue
        choices, answer = choices_and_answer(task, doc, prompt, chat)
        sample = prompt_id(prompt)
        half = HALVES[int(sample, 16) % 2]
        halves[half].append((Sample(name, role, half, sample, prompt, answer, choices), raw))
    chosen = []
    for half, pairs in halves.items():
        if not pairs:
            raise ArtifactError(f"benchmark {name}: no prompt falls into the {half} half of {counts}")
        counts[half] = min(len(pairs), prompts_per_half)
        chosen += sorted(pairs, key=lambda pair: pair[0].sample)[:prompts_per_half]
    return BenchmarkSamples([sample for sample, _ in chosen], [raw for _, raw in chosen], counts)


def documents_text(documents: Iterable[dict[str, Any]]) -> str:
    """Documents as JSON lines. What JSON has no form for (a picture, NaN) is left empty: no text prompt shows it."""
    return "".join(
        json.dumps(_with_numbers(doc), ensure_ascii=False, allow_nan=False, default=lambda _: None) + "\n"
        for doc in documents
    )


def _with_numbers(value: Any) -> Any:
    """A document without its NaN and infinities."""
    if all_finite(value):
        return value
    if isinstance(value, dict):
        return {name: _with_numbers(part) for name, part in value.items()}
    return [_with_numbers(part) for part in value] if isinstance(value, list) else None


def _rendered(
    task: "ConfigurableTask", published: Any, tokenizer: PreTrainedTokenizerFast | None
) -> Iterator[tuple[dict, dict, str]]:
    """Every document as published, as the task reads it, and its prompt, in lm-eval's order of few-shot draws."""
    task.set_fewshot_seed(FEWSHOT_SEED)
    for raw, doc in _documents(task, published):
        prompt = task.fewshot_context(
            doc,
            task.config.num_fewshot or 0,
            apply_chat_template=tokenizer is not None,
            fewshot_as_multiturn=tokenizer is not None,
            chat_template=tokenizer and chat_template(tokenizer),
            gen_prefix=task.doc_to_prefix(doc),
        )
        yield raw, doc, prompt


def _documents(task: "ConfigurableTask", published: Any) -> Iterator[tuple[dict, dict]]:
    """Documents as published beside what the task's `process_docs` makes of them, which may leave some out."""
    read = task.eval_docs
    if len(read) == len(published):
        yield from zip(published, read, strict=True)
        return
    for place, raw in enumerate(published):
        yield from ((raw, doc) for doc in task.config.process_docs(published.select([place])))


def chat_template(tokenizer: PreTrainedTokenizerFast):
    """Renders a list of messages as lm-eval does, without the system message where the template allows none."""

    def render(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        how = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, **how)
        except TemplateError:
            messages = [message for message in messages if message["role"] != "system"]
            text = tokenizer.apply_chat_template(messages, tokenize=False, **how)
        check_kept(tokenizer, messages, text)
        return text

    return render


def _core(doc: dict[str, Any], question: str) -> str:
    """The longest text of a document that its question shows: the problem, without the task's own words around it."""
    return max((text for text in _texts(doc) if text in question), key=len, default="") or question


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _normal(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()

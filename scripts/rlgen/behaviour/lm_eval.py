"""Behaviour of plain models on shipped tasks, through lm-eval's own evaluator and backends.

lm-eval asks, runs and judges; here its logged samples become the rows that
`rlgen.behaviour.evaluator` writes for the organism.
The one number of ours is the right answer's log-probability: over the choices' log-likelihoods, or after the model's
own solution.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from pydantic import Field
from transformers import AutoConfig, GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from rlgen.behaviour.benchmarks import BenchmarkEvaluator, choice_logprob
from rlgen.behaviour.continuations import encode_answer, encode_completion, encode_pair, prompts_of
from rlgen.behaviour.reading import answer_logprobs
from rlgen.behaviour.settings import BenchmarkEvaluation
from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.models.long_texts import Ends
from rlgen.models.passes import Padding
from rlgen.names import DOCS
from rlgen.strict import Strict
from rlgen.tasks.samples import Sample
from rlgen.tasks.settings import Benchmark
from rlgen.tasks.shipped import BenchmarkTask, load_task

if TYPE_CHECKING:
    from lm_eval.api.model import TemplateLM


SAMPLES_PER_PASS = 32  # prompts whose keys and values stand in memory together


class EvaluateBenchmarks(Strict):
    """The slice that `scripts/behaviour/evaluate_benchmarks.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    model: str
    states: list[str] = Field(min_length=1, description="labels of all checkpoints, in order: rl@1 ... rl")
    benchmarks: dict[str, Benchmark] = Field(min_length=1, description="task -> how it is read")
    evaluation: BenchmarkEvaluation


def read_tasks(
    samples: Sequence[Sample],
    docs: Sequence[str | Path],
    benchmarks: dict[str, Benchmark],
    evaluation: BenchmarkEvaluation,
) -> list[BenchmarkTask]:
    """The tasks of samples and document files, named `TASK.docs.jsonl`, in the order of `docs`. Nothing is downloaded.

    Raises ArtifactError where files and tasks are not the same.
    """
    named = {Path(path).name.removesuffix(DOCS): path for path in docs}
    if set(named) != set(benchmarks):
        raise ArtifactError(f"documents of {', '.join(named)}", f"expected those of {', '.join(benchmarks)}")
    tasks = []
    for name, path in named.items():
        benchmark = benchmarks[name]
        task = load_task(name, path, benchmark, evaluation.max_new_tokens)
        own = [sample for sample in samples if sample.task == name]
        tasks.append(BenchmarkTask(task, own, benchmark, evaluation.renders_chat(benchmark)))
    return tasks


def evaluate_checkpoints(
    cfg: EvaluateBenchmarks, checkpoints: Sequence[Path], tasks: Sequence[BenchmarkTask], device: torch.device
) -> pd.DataFrame:
    """One row per checkpoint and sample: every checkpoint of one model on all tasks."""
    e, n = cfg.evaluation, len(cfg.states)
    tokenizer = load_tokenizer(checkpoints[0])
    positions = AutoConfig.from_pretrained(checkpoints[0], local_files_only=True).max_position_embeddings
    needs = BenchmarkEvaluator(tasks, tokenizer, e.batch_size, e.max_new_tokens, e.completion_tokens)
    needs.check_context(positions)
    parts = []
    for number, (state, folder) in enumerate(zip(cfg.states, checkpoints, strict=True), start=1):
        model = load_model(folder, device) if e.backend == "transformers" else None
        if model is None:
            lm = vllm_backend(folder, cfg.seed, min(positions, needs.longest + 1))  # it scores one token less
        else:
            lm = hf_backend(model, tokenizer, e.batch_size)
        columns = {"model": cfg.model, "state": state, "checkpoint": number, "steps_share": number / n}
        parts += [pd.DataFrame(columns | task_rows(lm, tokenizer, task, model)) for task in tasks]
        del lm, model  # before the next checkpoint comes
    return pd.concat(parts, ignore_index=True)


def hf_backend(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch_size: int) -> "TemplateLM":
    """lm-eval's transformers backend around a loaded model.

    Of the model's generation settings only its ends of sequence are kept: greedy decoding has no penalties.
    """
    from lm_eval.models.huggingface import HFLM

    ends, pad_id = Ends.of(model, tokenizer, []).ids, tokenizer.pad_token_id
    pad_id = tokenizer.eos_token_id if pad_id is None else pad_id
    model.generation_config = GenerationConfig(eos_token_id=list(ends), pad_token_id=pad_id)
    return HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=batch_size,
        softmax_dtype="float32",
        max_length=model.config.max_position_embeddings,
    )


def vllm_backend(folder: Path, seed: int, positions: int) -> "TemplateLM":
    """lm-eval's vLLM backend over a checkpoint folder, with room for `positions` tokens.

    Tested against a stand-in with its signatures, never run on vLLM itself. Raises ArtifactError where vLLM is not
    installed.
    """
    try:
        from lm_eval.models.vllm_causallms import VLLM
    except ImportError as error:
        raise ArtifactError(
            f"evaluation.backend: vllm cannot be imported ({error}); install it, or choose transformers"
        ) from error
    return VLLM(pretrained=str(folder), dtype="auto", batch_size="auto", max_model_len=positions, seed=seed)


def task_rows(
    lm: "TemplateLM", tokenizer: PreTrainedTokenizerFast, task: BenchmarkTask, model: PreTrainedModel | None
) -> dict[str, list]:
    """Columns of the per-sample table of one model on one task. `model`: the backend's own, where it has one."""
    import lm_eval

    with _ending(model, tokenizer, task):
        results = lm_eval.evaluate(
            lm, {"tasks": {task.name: task.task}}, bootstrap_iters=0, apply_chat_template=task.chat
        )
    logged = _logged(results["samples"][task.name], task.filter)
    rows = {name: [getattr(s, name) for s in task.samples] for name in ("task", "role", "half", "sample")}
    if task.checker is None:
        rows["correct"] = [task.is_right(row) for row in logged]
    else:
        rows["correct"] = task.verdicts(range(len(logged)), [row["resps"][0] for row in logged])
    if task.strict is not None:
        metric, filter = task.strict
        strictly = _logged(results["samples"][task.name], filter)
        rows["strict"] = [task.is_right(row, metric) for row in strictly]
    if task.by_choice:
        return rows | _choice_columns(tokenizer, task, logged)
    return rows | _text_columns(lm, tokenizer, task, logged, model)


def _logged(samples: Sequence[dict], filter: str) -> list[dict]:
    """lm-eval's rows of one filter, in the order of the documents."""
    return sorted((row for row in samples if row["filter"] == filter), key=lambda row: row["doc_id"])


@contextmanager
def _ending(model: PreTrainedModel | None, tokenizer: PreTrainedTokenizerFast, task: BenchmarkTask) -> Iterator[None]:
    """Within the context a model's completions end where the task says, also at stops that are special tokens.

    HFLM leaves special tokens out of the text before it looks for stops, so that it would read on past these.
    """
    if model is None:
        yield
        return
    settings, ends = model.generation_config, Ends.of(model, tokenizer, task.stops)
    model.generation_config = GenerationConfig(eos_token_id=list(ends.ids), pad_token_id=settings.pad_token_id)
    try:
        yield
    finally:
        model.generation_config = settings


def _choice_columns(tokenizer: PreTrainedTokenizerFast, task: BenchmarkTask, logged: list[dict]) -> dict[str, list]:
    """answer_logprob, completion and length of ranked choices."""
    columns: dict[str, list[Any]] = {"answer_logprob": [], "completion": [], "length": []}
    for place, (sample, row) in enumerate(zip(task.samples, logged, strict=True)):
        values = [float(value) for (value, _), *_ in row["resps"]]
        text = sample.choices[task.preferred(place, values)]
        columns["answer_logprob"].append(choice_logprob(values, sample.choices.index(sample.answer)))
        columns["completion"].append(text)
        columns["length"].append(len(encode_pair(tokenizer, sample.prompt, text)[1]))
    return columns


def _text_columns(
    lm: "TemplateLM",
    tokenizer: PreTrainedTokenizerFast,
    task: BenchmarkTask,
    logged: list[dict],
    model: PreTrainedModel | None,
) -> dict[str, list]:
    """answer_logprob, completion and length of solutions."""
    texts = [row["resps"][0][0] for row in logged]
    pairs = list(zip(task.samples, texts, strict=True))
    asked = [encode_answer(tokenizer, s.prompt, text, s.answer, task.ask) for s, text in pairs]
    return {
        "answer_logprob": _from_model(model, asked) if model is not None else _from_backend(lm, asked),
        "completion": texts,
        "length": [len(encode_completion(tokenizer, s.prompt, text)[1]) for s, text in pairs],
    }


def _from_model(model: PreTrainedModel, asked: list[tuple[list[int], list[int], int]]) -> list[float]:
    """Log-probabilities of the answers by a forward pass of ours, which makes logits of the answers alone."""
    found_I, padding = torch.zeros(len(asked)), Padding("answers")
    order = sorted(range(len(asked)), key=lambda i: sum(map(len, asked[i][:2])))
    for first in range(0, len(order), SAMPLES_PER_PASS):
        places = order[first : first + SAMPLES_PER_PASS]
        chunk = [asked[i] for i in places]
        prompts = prompts_of([ids for ids, _, _ in chunk], model.device, padding).with_prefix(model)
        own_R = torch.arange(len(chunk), device=model.device)
        found_I[places] = answer_logprobs(model, prompts, own_R, [(text, count) for _, text, count in chunk])
    padding.tell()
    return found_I.tolist()


def _from_backend(lm: "TemplateLM", asked: list[tuple[list[int], list[int], int]]) -> list[float]:
    """Log-probabilities of the answers by lm-eval's backend: it reads prompt and reasoning as one context."""
    requests = [(("", ""), ids + text[: len(text) - n], text[len(text) - n :]) for ids, text, n in asked]
    return [value for value, _ in lm._loglikelihood_tokens(requests)]

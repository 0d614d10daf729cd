"""Tasks as lm-eval ships them, over documents of ours: rendering, requests and verdicts stay lm-eval's own.

A task is found by its name among the YAML files of the installed lm-eval; only where its documents come from is
changed: the hub at a pinned revision, or local files in the data set's own format. Documents are kept as published:
the task's `process_docs` is applied when a task is built, never before.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlgen.files import ArtifactError, all_finite, first_line
from rlgen.hub import check_pinned, hub_errors, loading_script
from rlgen.tasks.catalogue import shipped_config, task_config
from rlgen.tasks.generated import SPLIT, documents
from rlgen.tasks.math_answers import AnswerChecker
from rlgen.tasks.samples import Sample
from rlgen.tasks.settings import Benchmark

if TYPE_CHECKING:
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask


SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
FEWSHOT_SEED = 1234  # lm-eval's own default
FORMATS = ("arrow", "csv", "json", "parquet", "text")  # files anywhere, which `datasets` reads without a data set
MATH_VERIFY = "math_verify"  # the one metric of ours: the verdict that training rewards (rlgen.tasks.math_answers)


def shipped_task(name: str, benchmark: Benchmark) -> "ConfigurableTask":
    """The task over its published documents: the hub at the pinned revision, or the files that stand in.

    Raises ArtifactError where lm-eval ships no such task, where it is of a kind that is not evaluated here, where the
    revision is missing or may move, or where the documents cannot be had.
    """
    config = task_config(name, benchmark)
    if benchmark.generate is not None:
        return _build(config | _local({SPLIT: _data_set(documents(benchmark.generate))}, config))
    if benchmark.files is None:
        source = _published(name, config)
        check_pinned(f"data.benchmarks.{name}.revision: {source}", benchmark.revision)
        found = {"dataset_kwargs": (config.get("dataset_kwargs") or {}) | {"revision": benchmark.revision}}
    else:
        source = ", ".join(benchmark.files.values())
        wanted = evaluated_split(config)
        if wanted not in benchmark.files:
            raise ArtifactError(
                f"benchmark {name}: files name the splits {', '.join(benchmark.files)}, expected {wanted!r} among them"
            )
        found = _local({split: read_documents(path) for split, path in benchmark.files.items()}, config)
    shots = {} if benchmark.fewshot is None else {"num_fewshot": benchmark.fewshot}
    try:
        with hub_errors(source, benchmark.revision):
            return _build(config | found | shots)
    except ArtifactError:
        raise
    except Exception as error:  # the hub's client, datasets and the task's own code raise whatever they like
        if script := loading_script(error):
            problem = f"its data set {source} holds the loading script {script}, which `datasets` does not run"
            raise ArtifactError(f"benchmark {name}", problem, "give `files` in the data set's own format") from error
        raise ArtifactError(
            f"benchmark {name}: its documents ({source}) cannot be loaded ({first_line(error)}); "
            "expected a network, or that revision in the hub's cache, or `files` in the data set's own format"
        ) from error


def data_set(name: str) -> str:
    """The data set on the hub that a shipped task reads. Raises ArtifactError for an unknown task, or one without."""
    return _published(name, shipped_config(name, functions=False))


def load_task(
    name: str, docs_path: str | Path, benchmark: Benchmark, max_new_tokens: int | None = None
) -> "ConfigurableTask":
    """The task over the documents of a JSONL file, nothing else: no network, no cache, no few-shot split.

    Decoding is greedy; `max_new_tokens` bounds it where given. Raises ArtifactError for a file that is not the task's.
    """
    config = task_config(name, benchmark)
    greedy = {"do_sample": False, "temperature": 0.0, "repetition_penalty": 1.0}
    if max_new_tokens is not None:
        greedy["max_gen_toks"] = max_new_tokens
    until = (config.get("generation_kwargs") or {}).get("until", [config.get("fewshot_delimiter", "\n\n")])
    if config["output_type"] == "generate_until":
        config |= {"generation_kwargs": {"until": [until] if isinstance(until, str) else list(until)} | greedy}
    split = evaluated_split(config)
    local = _local({split: read_documents(docs_path)}, config)
    try:
        # prompts with examples are stored with the samples: their split is not needed again
        return _build(config | local | {"num_fewshot": 0, "fewshot_config": None, "repeats": 1})
    except Exception as error:
        raise ArtifactError(docs_path, f"holds no documents of the task {name} ({error!r})") from error


def output_type(name: str, benchmark: Benchmark) -> str:
    """`multiple_choice` or `generate_until`, as the task says. Raises ArtifactError for any other."""
    return task_config(name, benchmark)["output_type"]


class BenchmarkTask:
    """A task over the documents of its samples: stored prompts, requests and verdicts.

    Shipped verdicts have their ways: hendrycks_math reads what stands between the first and the last dollar sign, or
    the whole text, and never looks into a box, so that a solution that reasons in formulas is wrong whatever it boxes.
    """

    def __init__(self, task: "ConfigurableTask", samples: Sequence[Sample], benchmark: Benchmark, chat: bool) -> None:
        """`samples` in the order of the documents. Raises ArtifactError where they do not belong together."""
        self.name, self.task, self.samples, self.chat = task.config.task, task, list(samples), chat
        self.ask = benchmark.ask
        self.docs = list(task.eval_docs)
        self.metric, self.filter = _metric(task, benchmark.metric)
        self.strict = None if benchmark.strict is None else _metric(task, benchmark.strict)
        self.checker = AnswerChecker() if self.metric == MATH_VERIFY else None
        if len(self.docs) != len(self.samples):
            raise ArtifactError(
                f"benchmark {self.name}: {len(self.docs)} documents and {len(self.samples)} samples", "do not pair up"
            )
        for doc, sample in zip(self.docs, self.samples, strict=True):
            if (sample.choices, sample.answer) != choices_and_answer(task, doc, sample.prompt, chat):
                raise ArtifactError(f"benchmark {self.name}: sample {sample.sample}", "is not of its document")
        prompts = {_name(doc): sample.prompt for doc, sample in zip(self.docs, self.samples, strict=True)}
        # lm-eval's evaluator asks the task for every prompt: it is given the stored one
        task.fewshot_context = lambda doc, *_, **__: prompts[_name(doc)]
        task.config.num_fewshot = 0

    @property
    def by_choice(self) -> bool:
        """Whether the task ranks choices; otherwise it reads a generated text."""
        return self.task.OUTPUT_TYPE == "multiple_choice"

    @property
    def stops(self) -> list[str]:
        """Texts at which a completion ends, besides the end of sequence."""
        return [] if self.by_choice else list(self.task.config.generation_kwargs["until"])

    def verdicts(self, rows: Sequence[int], responses: Sequence[Sequence[Any]]) -> list[bool]:
        """Right or wrong for the responses to some samples (repeats allowed), by the task's filters and scoring.

        Responses to a sample: its text, or (log-likelihood, whether greedy) of every choice.
        """
        if self.checker is not None:
            return self.checker.right([text for (text,) in responses], [self.samples[row].answer for row in rows])
        groups = []
        for row, answers in zip(rows, responses, strict=True):
            requests = _requests(self.task, self.docs[row], self.samples[row].prompt, self.chat)
            for request, answer in zip(requests, answers, strict=True):
                request.resps.append(answer)
            groups.append(requests)
        self.task._instances = [request for group in groups for request in group]  # what apply_filters works on
        self.task.apply_filters()
        return [
            self.is_right(self.task.process_results(self.docs[row], [r.filtered_resps[self.filter] for r in group]))
            for row, group in zip(rows, groups, strict=True)
        ]

    def is_right(self, metrics: Mapping[str, Any], metric: str | None = None) -> bool:
        """The verdict among a sample's metrics. Raises ArtifactError for a metric that is not 0 or 1."""
        metric = metric or self.metric
        value = metrics[metric]
        if value not in (0, 1):
            raise ArtifactError(
                f"benchmark {self.name}: metric {metric} gave {value!r}, expected 0 or 1; choose another metric"
            )
        return bool(value)

    def preferred(self, row: int, loglikelihoods: Sequence[float]) -> int:
        """The choice a model prefers: largest log-likelihood, per character or byte where the metric says so."""
        texts = self.task.doc_to_choice(self.docs[row])
        length = {"acc_norm": len, "acc_bytes": lambda text: len(text.encode())}.get(self.metric, lambda _: 1)
        scores = [value / length(text) for value, text in zip(loglikelihoods, texts, strict=True)]
        return scores.index(max(scores))


def choices_and_answer(task: "ConfigurableTask", doc: dict, prompt: str, chat: bool) -> tuple[tuple[str, ...], str]:
    """What may follow a prompt, and what is right: all continuations for a choice, none for a generated text.

    Raises ArtifactError for a document without exactly one right answer.
    """
    target = task.doc_to_target(doc)
    if task.OUTPUT_TYPE == "multiple_choice":
        choices = task.doc_to_choice(doc)
        place = choices.index(target) if isinstance(target, str) and target in choices else target
        if not isinstance(place, int) or not 0 <= place < len(choices):
            raise ArtifactError(f"benchmark {task.config.task}: target {target!r} names none of the choices {choices}")
        continuations = tuple(request.args[1] for request in _requests(task, doc, prompt, chat))
        return continuations, continuations[place]
    if task.config.doc_to_choice is not None and isinstance(target, int):
        target = task.doc_to_choice(doc)[target]
    target = target[0] if isinstance(target, list) else target
    answer = str(target)
    if not answer.strip() or not all_finite(target):
        raise ArtifactError(f"benchmark {task.config.task}: a document without an answer ({str(doc)[:200]})")
    return (), answer


def evaluated_split(config: Mapping[str, Any]) -> str:
    """The split whose documents are evaluated: test, or validation where there is no test split."""
    split = config.get("test_split") or config.get("validation_split")
    if split is None:
        raise ArtifactError(f"benchmark {config['task']}: has neither a test nor a validation split")
    return split


def read_documents(path: str | Path) -> "Dataset":
    """A file of documents (.jsonl, .json with a list, .parquet) as a data set in memory."""
    import pyarrow.parquet

    path = Path(path)
    try:
        if path.suffix == ".parquet":
            rows = pyarrow.parquet.read_table(path).to_pylist()
        elif path.suffix == ".json":
            rows = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
        else:
            # not splitlines, which also splits at separators that may stand inside a JSON text
            lines = path.read_text(encoding="utf-8").split("\n")
            rows = [json.loads(line, parse_constant=_no_number) for line in lines if line.strip()]
        if not rows:
            raise ValueError("no documents")
        return _data_set(rows)
    except (OSError, ValueError, TypeError, AttributeError) as error:  # pyarrow's errors are ValueErrors, too
        raise ArtifactError(path, f"not a file of documents ({error})", "expected JSONL, JSON or Parquet") from error


def _data_set(rows: list[dict[str, Any]]) -> "Dataset":
    import datasets

    return datasets.Dataset.from_list(rows)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON has")


def _requests(task: "ConfigurableTask", doc: dict, prompt: str, chat: bool) -> list:
    """lm-eval's requests of one document."""
    requests = task.construct_requests(doc=doc, ctx=prompt, metadata=(task.config.task, 0, 1), apply_chat_template=chat)
    return requests if isinstance(requests, list) else [requests]


def _metric(task: "ConfigurableTask", wanted: str | None) -> tuple[str, str]:
    """The metric and the filter that decide. Raises ArtifactError for one that the task does not have."""
    metrics, filters = list(task._metric_fn_list), [ensemble.name for ensemble in task._filters]
    metrics += [MATH_VERIFY] if task.OUTPUT_TYPE == "generate_until" else []
    metric, _, chosen = (wanted or metrics[0]).partition(",")
    chosen = chosen or filters[0]
    if metric not in metrics or chosen not in filters:
        raise ArtifactError(
            f"benchmark {task.config.task}: metric {wanted!r}, expected one of {', '.join(metrics)}, "
            f"with a filter among {', '.join(filters)}"
        )
    return metric, chosen


def _local(documents: dict[str, "Dataset"], config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a task read these documents: no data set of the hub, and no split without a file."""
    splits = {field: config.get(field) if config.get(field) in documents else None for field in SPLITS}
    source = {"dataset_path": None, "dataset_name": None, "dataset_kwargs": None}
    return splits | source | {"custom_dataset": lambda **_: documents}


def _build(config: dict[str, Any]) -> "ConfigurableTask":
    import datasets
    from lm_eval.api.task import ConfigurableTask

    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of every default it takes
    task = ConfigurableTask(config=config)
    if task.multiple_input or "acc_mutual_info" in task._metric_fn_list:
        raise ArtifactError(f"benchmark {config['task']}: expected one prompt per document, with all choices after it")
    return task


def _published(name: str, config: Mapping[str, Any]) -> str:
    """The data set on the hub that a configuration names. Raises ArtifactError where it names none."""
    path = config.get("dataset_path")
    if not path or path in FORMATS:
        what = f"its documents are no data set of the hub ({path or 'generated'})"
        raise ArtifactError(f"data.benchmarks.{name}", what, "give `files` in their format, or take another task")
    return path


def _name(doc: Mapping[str, Any]) -> str:
    """A document as text, which names it."""
    return json.dumps(doc, sort_keys=True, default=str)

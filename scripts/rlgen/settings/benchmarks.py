"""Settings of tasks that lm-eval ships, and what the scripts that read them are told."""

from typing import Literal

from pydantic import Field, model_validator

from rlgen.settings.strict import Strict


class Benchmark(Strict):
    """One shipped task: where its documents come from and how it is read."""

    revision: str | None = Field(None, min_length=1, description="commit of the task's data set on the hub")
    files: dict[str, str] | None = Field(
        None, min_length=1, description="split -> local JSONL, JSON or Parquet file in the data set's own format"
    )
    fewshot: int | None = Field(None, ge=0, description="examples shown before the question; null: as the task says")
    metric: str | None = Field(
        None,
        description="what says right or wrong: a metric of the task, `metric` or `metric,filter`, or `math_verify` for "
        "generated answers; null: the task's first metric",
    )
    chat: bool | None = Field(None, description="render prompts by the chat template; null: as `evaluation.chat`")
    options: int | None = Field(None, ge=2, description="answers to choose from, which gives the level of guessing")
    ask: str = Field("\\boxed{", min_length=1, description="text after which a generated solution states its answer")

    @model_validator(mode="after")
    def _has_one_source(self):
        if self.revision is not None and self.files is not None:
            raise ValueError("expected either revision (the hub) or files (local stand-ins)")
        return self


class BenchmarkEvaluation(Strict):
    """Greedy evaluation of models on benchmarks."""

    backend: Literal["transformers", "vllm"] = Field(
        "transformers", description="what runs plain models; edited models always run in transformers"
    )
    batch_size: int = Field(32, ge=1, description="sequences run together")
    max_new_tokens: int = Field(4096, ge=1, description="longest completion, tokens")
    chat: bool = Field(False, description="render prompts by the reference tokenizer's chat template")
    prompts_per_half: int = Field(150, ge=1, description="largest number of prompts per task in each half")
    completion_tokens: int = Field(
        512, ge=1, description="tokens of a completion on which activations and distances are measured"
    )
    agreement: float = Field(
        0.98, gt=0, le=1, description="smallest share of equal verdicts of plain and hooked model without a warning"
    )

    def renders_chat(self, benchmark: Benchmark) -> bool:
        """Whether a benchmark's prompts go through the chat template."""
        return self.chat if benchmark.chat is None else benchmark.chat


class MakeBenchmark(Strict):
    """The slice that `scripts/make_benchmark.py` receives."""

    task: str = Field(description="name of the task in lm-eval")
    role: str
    benchmark: Benchmark
    chat: bool
    prompts_per_half: int = Field(ge=1)
    max_new_tokens: int = Field(ge=1, description="with it, a prompt has to fit the reference's context")


class EvaluateBenchmarks(Strict):
    """The slice that `scripts/evaluate_benchmarks.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    model: str
    states: list[str] = Field(min_length=1, description="labels of all checkpoints, in order: rl@1 ... rl")
    benchmarks: dict[str, Benchmark] = Field(min_length=1, description="task -> how it is read, in the order of files")
    evaluation: BenchmarkEvaluation


class HarvestBenchmarkCompletions(Strict):
    """The slice that `scripts/harvest_benchmark_completions.py` receives."""

    threads: int = Field(ge=1)
    reference: str
    tuned: str
    layer: int = Field(ge=0)
    completion_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)

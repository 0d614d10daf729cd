"""Stands in for the package `vllm`, which needs a GPU: names that `rlgen.teacher.writers` uses, same signatures.

Read from the source of vllm 0.33.0 as published (`vllm/entrypoints/llm.py`, `engine/arg_utils.py`,
`sampling_params.py`, `outputs.py`); what is not used here is left out. `test_writers.py` compares the names with an
installed or unpacked package. As in vllm, several greedy completions are refused, and completion i draws with the
request's seed plus i.

It "writes" letters drawn with the seed, and ends at the end of sequence, at a stop text or by length.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

ENDS = "."  # stands for the end of sequence


@dataclass
class SamplingParams:
    """How one request is answered."""

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = 16

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"n must be 1 when using greedy sampling, got {self.n}.")


@dataclass
class CompletionOutput:
    """One completion; finish_reason is stop, length, abort, error or repetition."""

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    """The completions of one prompt."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: None
    outputs: list[CompletionOutput]
    finished: bool


class LLM:
    """Answers prompts; `made` and `calls` tell tests what it was asked."""

    made: list[dict[str, Any]] = []  # noqa: RUF012 - of all engines

    def __init__(
        self,
        model: str,
        *,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        seed: int = 0,
        max_model_len: int | None = None,  # by way of **kwargs: a field of EngineArgs
    ) -> None:
        self.calls: list[tuple[list, list[SamplingParams]]] = []
        LLM.made.append({"model": model, "tensor_parallel_size": tensor_parallel_size, "dtype": dtype, "seed": seed,
                         "max_model_len": max_model_len})  # fmt: skip

    def generate(
        self, prompts: list[dict], sampling_params: list[SamplingParams], *, use_tqdm: bool = True
    ) -> list[RequestOutput]:
        """One output per prompt, in order."""
        self.calls.append((prompts, sampling_params))
        pairs = enumerate(zip(prompts, sampling_params, strict=True))
        return [
            RequestOutput(str(i), None, prompt["prompt_token_ids"], None, [_write(p, k) for k in range(p.n)], True)
            for i, (prompt, p) in pairs
        ]


def _write(p: SamplingParams, index: int) -> CompletionOutput:
    draw, text, reason = Random(0 if p.temperature == 0 else p.seed + index), "", "length"
    while len(text) < p.max_tokens and reason == "length":
        text += draw.choice("abcdefgh" + ENDS)
        if text.endswith((ENDS, *p.stop)):
            reason = "stop"
    ids = [ord(letter) for letter in text]
    for stop in p.stop:
        text = text.partition(stop)[0]
    return CompletionOutput(index, text.removesuffix(ENDS), ids, None, None, reason, None)

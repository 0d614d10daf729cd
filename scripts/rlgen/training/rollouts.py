"""Who generates the completions of GRPO, and who judges their answers."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rlgen.files import ArtifactError
from rlgen.tasks.answers import Right, final_answer
from rlgen.training.settings import GRPOScale


@contextmanager
def judge(marker: str | None, workers: int = 4, timeout_s: float = 5.0) -> Iterator[Right]:
    """Whether answers are right: the word behind the marker, or without one what math-verify makes of the text.

    Then so many `workers` look at answers, each for at most `timeout_s`.
    """
    if marker is not None:
        yield lambda texts, golds: [final_answer(t, marker) == g for t, g in zip(texts, golds, strict=True)]
        return
    from rlgen.tasks.math_answers import AnswerChecker

    with AnswerChecker(workers, timeout_s) as checker:
        yield checker.right


def text_of(completion: str | list[dict]) -> str:
    """The text of a completion, which TRL gives as a turn where the prompt is a conversation."""
    return completion if isinstance(completion, str) else completion[0]["content"]


def check_generator(scale: GRPOScale | None) -> None:
    """Raises ArtifactError where completions cannot be generated as the study says."""
    if scale is None:
        return
    gpus = torch.cuda.device_count()
    if scale.vllm != "none" and importlib.util.find_spec("vllm") is None:
        raise ArtifactError(f"scale.vllm: {scale.vllm}, but vllm is not installed; install it, or say none")
    if scale.vllm == "colocate" and not gpus:
        raise ArtifactError("scale.vllm: colocate, but there is no GPU here; expected one, or server, or none")
    if scale.vllm == "none" and scale.gpus > 1 and gpus:
        # A process whose completions end early would leave the others waiting for its part of the weights.
        raise ArtifactError(f"scale.vllm: none on {scale.gpus} GPUs, expected colocate or server")


def generation(scale: GRPOScale | None, sequences: int, end: int) -> dict:
    """Keyword arguments for GRPOConfig about who generates a step's completions; `end` is the token that ends one.

    Every step draws its own completions, in one go for all of its passes, so that a state between two steps needs to
    hold none: steps_per_generation is the number of passes.
    """
    if scale is None:
        return {"steps_per_generation": 1}
    common = {"steps_per_generation": scale.accumulation(sequences)}
    if scale.vllm == "none":
        return common
    common |= {"use_vllm": True, "vllm_mode": scale.vllm, "vllm_max_model_length": scale.max_length}
    # TRL's own choice weighs whole completions: a product over thousands of tokens, each a little off, is 0 or beyond
    # its limit for nearly all of them. A weight per token, cut at TRL's limit of 3, keeps every completion.
    common["vllm_importance_sampling_mode"] = "token_truncate"
    if scale.end_token:  # vLLM reads the parent's generation_config.json, which does not name it
        common["generation_kwargs"] = {"stop_token_ids": [end]}
    if scale.vllm == "colocate":
        memory = {"vllm_gpu_memory_utilization": scale.vllm_memory_share, "vllm_enable_sleep_mode": scale.vllm_sleep}
        return common | memory
    return common | {"vllm_server_host": scale.vllm_host, "vllm_server_port": scale.vllm_port}

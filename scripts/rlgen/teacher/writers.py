"""Text written by a model in batches: vLLM where it is installed, transformers otherwise, behind one small interface.

Every completion draws from a random stream of its own, named by the seed, the prompt's text and its number among the
prompt's completions, so that it depends neither on the other prompts nor on their order. What remains: the logits of a
row differ in their last bits with the number and the lengths of the rows beside it, and a draw or an argmax that is
nearly a tie may then fall the other way; and the two backends draw differently. Equal prompts get equal completions.
"""

import importlib.util
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from rlgen.files import ArtifactError, first_line
from rlgen.models.checkpoints import load_tokenizer
from rlgen.models.passes import Padding
from rlgen.models.tokens import encode_prompts
from rlgen.progress import Progress
from rlgen.seeds import stream_seed

Backend = Literal["auto", "vllm", "transformers"]
ROWS_PER_BATCH = 64  # completions that transformers writes together


class Written(NamedTuple):
    """One completion: its text without special tokens and without what stopped it.

    `tokens` counts what was written, the end of sequence included. `finished`: it ended by itself, not by length.
    """

    text: str
    tokens: int
    finished: bool


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn, `n` of every prompt.

    A completion ends at the end of sequence, before the first of the `stop` texts, or after `max_new_tokens`.
    """

    n: int
    max_new_tokens: int
    temperature: float  # 0 is greedy, and all n are then the same
    top_p: float
    seed: int
    stop: Sequence[str] = ()

    @property
    def draws(self) -> int:
        """Different completions of a prompt."""
        return self.n if self.temperature else 1


class Writer(Protocol):
    """Writes completions of prompts that are rendered already."""

    tokenizer: PreTrainedTokenizerBase

    def write(self, prompts: list[str], sampling: Sampling) -> list[list[Written]]:
        """The completions of every prompt, in order.

        Raises ArtifactError, before anything is written, for a prompt that leaves no room for a completion.
        """


def open_writer(backend: Backend, folder: Path, dtype: str, gpus: int, max_model_len: int) -> Writer:
    """Load a checkpoint folder to write with. `auto` takes vLLM where it is installed and there are `gpus`.

    `max_model_len` is the longest prompt and completion together, in tokens. Raises ArtifactError for a folder that is
    no checkpoint and for a backend that is not installed.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if backend == "vllm" and not installed:
        raise ArtifactError("backend: not installed (value vllm), expected vLLM's package, or auto or transformers")
    if not (Path(folder) / "config.json").exists():
        raise ArtifactError(f"{folder}: no config.json; expected a checkpoint folder")
    if backend == "vllm" or (backend == "auto" and installed and gpus > 0):
        return VllmWriter(folder, dtype, gpus, max_model_len)
    return TransformersWriter(_load(folder, dtype, gpus), load_tokenizer(folder), max_model_len)


def _load(folder: Path, dtype: str, gpus: int) -> PreTrainedModel:
    """A checkpoint in eval mode; several GPUs share its blocks, and without a visible GPU it runs on the processor."""
    use = gpus if torch.cuda.is_available() else 0
    place = {} if use == 0 else {"device_map": "auto" if use > 1 else {"": 0}}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, **place
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(folder, f"not a checkpoint that can be read ({first_line(error)})") from error
    return model.eval()


def encode(
    tokenizer: PreTrainedTokenizerBase, prompts: list[str], max_new_tokens: int, max_model_len: int
) -> list[list[int]]:
    """Token ids of the prompts. Raises ArtifactError naming the first one that leaves no room for a completion."""
    encoded = encode_prompts(tokenizer, prompts)
    for place, ids in enumerate(encoded):
        if len(ids) + max_new_tokens > max_model_len:
            raise ArtifactError(
                f"max_model_len: prompt {place} has {len(ids)} tokens and max_new_tokens is {max_new_tokens} (value "
                f"{max_model_len}), expected at least {len(ids) + max_new_tokens}; it begins {prompts[place][:80]!r}"
            )
    return encoded


class VllmWriter:
    """Writes with vLLM, which batches by itself and splits a model over `gpus`."""

    def __init__(self, folder: Path, dtype: str, gpus: int, max_model_len: int) -> None:
        from vllm import LLM

        self.tokenizer, self.max_model_len = load_tokenizer(folder), max_model_len
        self.engine = LLM(
            model=str(folder), dtype=dtype, tensor_parallel_size=max(1, gpus), max_model_len=max_model_len, seed=0
        )

    def write(self, prompts: list[str], sampling: Sampling) -> list[list[Written]]:
        from vllm import SamplingParams

        encoded = encode(self.tokenizer, prompts, sampling.max_new_tokens, self.max_model_len)
        parameters = [
            SamplingParams(
                n=sampling.draws,  # vLLM refuses several greedy completions
                temperature=sampling.temperature,
                top_p=sampling.top_p if sampling.temperature else 1.0,
                max_tokens=sampling.max_new_tokens,
                # vLLM adds a completion's number to it. 31 bits: some of its samplers take no more.
                seed=stream_seed(sampling.seed, "completions", prompt) % 2**31,
                stop=list(sampling.stop),
            )
            for prompt in prompts
        ]
        requests = self.engine.generate([{"prompt_token_ids": ids} for ids in encoded], parameters, use_tqdm=False)
        found = [
            [Written(one.text, len(one.token_ids), one.finish_reason == "stop") for one in request.outputs]
            for request in requests
        ]
        return [completions * (sampling.n // sampling.draws) for completions in found]


class TransformersWriter:
    """Writes with transformers' `generate`: prompts of about the same length together, padded on the left."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_model_len: int,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.max_model_len, self.rows_per_batch = max_model_len, rows_per_batch
        known = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
        ids = [i for some in known for i in (some if isinstance(some, list) else [some]) if i is not None]
        self.eos_ids = list(dict.fromkeys(ids))
        if not self.eos_ids:
            raise ArtifactError(model.name_or_path, "neither its generation_config nor its tokenizer has an eos token")
        self.pad_id = self.eos_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        # What else the checkpoint asks for (top_k, penalties) would come on top of what the caller asks for.
        model.generation_config = GenerationConfig(eos_token_id=self.eos_ids, pad_token_id=self.pad_id)

    def write(self, prompts: list[str], sampling: Sampling) -> list[list[Written]]:
        encoded = encode(self.tokenizer, prompts, sampling.max_new_tokens, self.max_model_len)
        rows = [(place, i) for place in range(len(prompts)) for i in range(sampling.draws)]
        rows.sort(key=lambda row: (len(encoded[row[0]]), *row))
        found: dict[tuple[int, int], Written] = {}
        progress, padding = Progress("writing", len(rows), "completions"), Padding("prompts")
        for first in range(0, len(rows), self.rows_per_batch):
            batch = rows[first : first + self.rows_per_batch]
            warp = self._warp(sampling, [(prompts[place], i) for place, i in batch])
            new = self._generate([encoded[place] for place, _ in batch], sampling, warp)
            found |= zip(batch, [self._written(ids, sampling.stop) for ids in new], strict=True)
            padding.see([len(encoded[place]) for place, _ in batch])
            progress.update(len(found), padding.note())
        padding.tell()
        return [[found[place, i % sampling.draws] for i in range(sampling.n)] for place in range(len(prompts))]

    def _warp(self, sampling: Sampling, rows: list[tuple[str, int]]) -> LogitsProcessorList:
        """Temperature, nucleus and noise, with which the argmax is a draw, for rows (prompt, number of its completion).

        Nothing where it is greedy.
        """
        if not sampling.temperature:
            return LogitsProcessorList()
        seeds = [stream_seed(sampling.seed, "completions", prompt, i) for prompt, i in rows]
        steps: list[LogitsProcessor] = (
            [TemperatureLogitsWarper(sampling.temperature)] if sampling.temperature != 1 else []
        )
        steps += [TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
        return LogitsProcessorList([*steps, RowNoise(seeds, self.model.device)])

    @torch.inference_mode()
    def _generate(self, encoded: Sequence[list[int]], sampling: Sampling, warp: LogitsProcessorList) -> list[list[int]]:
        """New token ids of every row, padding included."""
        longest = max(map(len, encoded))
        ids_BP = torch.tensor([[self.pad_id] * (longest - len(ids)) + ids for ids in encoded])
        attention_BP = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in encoded])
        criteria = StoppingCriteriaList([StopTexts(self.tokenizer, sampling.stop, longest)] if sampling.stop else [])
        ids_BT = self.model.generate(
            input_ids=ids_BP.to(self.model.device),
            attention_mask=attention_BP.to(self.model.device),
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            logits_processor=warp,
            stopping_criteria=criteria,
        )
        return ids_BT[:, longest:].tolist()

    def _written(self, new: list[int], stop: Sequence[str]) -> Written:
        """A row's completion, up to its end of sequence or the first stop text."""
        end = next((place for place, token in enumerate(new) if token in self.eos_ids), None)
        ids = new[:end]
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        cut = min((text.index(one) for one in stop if one in text), default=None)
        if cut is not None:
            tokens = bisect_left(range(len(ids)), True, key=lambda t: self._has(ids[:t], stop))
            return Written(text[:cut], tokens, True)
        return Written(text, len(ids) + (end is not None), end is not None)

    def _has(self, ids: list[int], stop: Sequence[str]) -> bool:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return any(one in text for one in stop)


class RowNoise(LogitsProcessor):
    """Gumbel noise, each row's from a random stream of its own: the largest noisy logit is a draw from the softmax."""

    def __init__(self, seeds: list[int], device: torch.device) -> None:
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        exponential_BV = torch.empty_like(scores, dtype=torch.float32)
        for row_V, generator in zip(exponential_BV, self.generators, strict=True):
            row_V.exponential_(generator=generator)
        return scores - exponential_BV.clamp_(min=torch.finfo(torch.float32).tiny).log_()


class StopTexts(StoppingCriteria):
    """Ends a row whose new text holds a stop text; transformers' own rule also looks into the prompt."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], prompt_columns: int) -> None:
        self.tokenizer, self.stop, self.prompt_columns = tokenizer, stop, prompt_columns
        self.window = 8 + 4 * max(map(len, stop))  # a character takes up to four tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_) -> torch.Tensor:
        new_BN = input_ids[:, self.prompt_columns :][:, -self.window :]
        texts = self.tokenizer.batch_decode(new_BN, skip_special_tokens=True)
        return torch.tensor([any(one in text for one in self.stop) for text in texts], device=input_ids.device)

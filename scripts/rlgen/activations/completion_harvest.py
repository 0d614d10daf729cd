"""Reference and tuned model on the same text: the tuned model's own completions of the discovery half."""

import json

import pandas as pd
import torch
from pydantic import Field
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.activations.forced import Encode, Forced, apart
from rlgen.models.residual import residual_stream
from rlgen.progress import Progress
from rlgen.strict import Strict
from rlgen.tasks.samples import Sample

SEQUENCES_PER_BATCH = 256


class HarvestCompletions(Strict):
    """Settings of reading two models on the tuned one's completions."""

    threads: int
    reference: str
    tuned: str
    layer: int


class HarvestBenchmarkCompletions(Strict):
    """The slice that `scripts/activations/harvest_benchmark_completions.py` receives."""

    threads: int = Field(ge=1)
    reference: str
    tuned: str
    layer: int = Field(ge=0)
    completion_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)


def harvest_completions(
    models: list[PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    samples: list[Sample],
    behaviours: list[pd.DataFrame],
    layer: int,
    encode: Encode = apart,
    completion_tokens: int | None = None,
    sequences: int | None = None,
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Residual streams of (reference, tuned) at completion positions, with who was right on each sample.

    `models` and `behaviours` are (reference, tuned); a behaviour has one row per sample. Positions run from the
    prompt's last token to the completion's last token before the end of sequence, or to its first `completion_tokens`
    where that many are given; `sequences` are read together. Returns tensors reference_Nd,
    tuned_Nd (raw units), sample_N, position_N (from 0 at the prompt's end), task_N, and per sample (K) sample_task,
    reference_correct, tuned_correct; metadata lists the names behind sample and task indices.
    """
    right = [table.set_index("sample")[["correct", "completion"]] for table in behaviours]
    chosen = [s for s in samples if s.half == "discovery"]
    tasks = list(dict.fromkeys(s.task for s in chosen))
    parts, progress = [], Progress("completions", len(chosen), "completions")
    sequences = sequences or SEQUENCES_PER_BATCH
    for first in range(0, len(chosen), sequences):
        batch = chosen[first : first + sequences]
        pairs = [encode(tokenizer, s, right[1].at[s.sample, "completion"]) for s in batch]
        forced = Forced.of(pairs, completion_tokens)
        mask_BT = forced.completion_BT
        sample_N, place_N = mask_BT.nonzero(as_tuple=True)
        streams = [residual_stream(model, forced.ids_BT, layer)[mask_BT].float() for model in models]
        parts.append((*streams, sample_N + first, place_N - forced.start_B[sample_N]))
        progress.update(first + len(batch))
    reference_Nd, tuned_Nd, sample_N, position_N = (torch.cat(column) for column in zip(*parts, strict=True))
    sample_task_K = torch.tensor([tasks.index(s.task) for s in chosen], dtype=torch.int32)
    tensors = {
        "reference": reference_Nd,
        "tuned": tuned_Nd,
        "sample": sample_N.int(),
        "position": position_N.int(),
        "task": sample_task_K[sample_N],
        "sample_task": sample_task_K,
        "reference_correct": torch.tensor([bool(right[0].at[s.sample, "correct"]) for s in chosen]).to(torch.uint8),
        "tuned_correct": torch.tensor([bool(right[1].at[s.sample, "correct"]) for s in chosen]).to(torch.uint8),
    }
    roles = {s.task: s.role for s in chosen}
    metadata = {
        "tasks": json.dumps(tasks),
        "roles": json.dumps(roles),
        "samples": json.dumps([s.sample for s in chosen]),
    }
    return tensors, metadata

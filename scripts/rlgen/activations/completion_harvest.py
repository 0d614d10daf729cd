"""Reference and tuned model on the same text: the tuned model's own completions of the discovery half."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.activations.completions import Completions
from rlgen.activations.forced import Encode, Forced, Ids, apart
from rlgen.activations.stream import SEQUENCES_PER_BATCH
from rlgen.compute import start
from rlgen.files import read_parquet
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.models.passes import Padding, passes, tokens_per_pass
from rlgen.models.residual import residual_stream
from rlgen.progress import Progress
from rlgen.strict import Strict
from rlgen.tasks.samples import Sample, read_samples


class HarvestCompletions(Strict):
    """Settings of reading two models on the tuned one's completions."""

    threads: int = Field(ge=1)
    reference: str
    tuned: str
    layer: int = Field(ge=0)


class HarvestBenchmarkCompletions(HarvestCompletions):
    """The slice that `scripts/activations/harvest_benchmark_completions.py` receives."""

    completion_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)


@dataclass(frozen=True)
class Reading:
    """How texts are read: tokens of a prompt and its completion, how many of the completion's, how many at once.

    Texts of mixed lengths are read in passes with little padding, others as they come (`TokenStream` says why).
    """

    encode: Encode = apart
    completion_tokens: int | None = None  # the first ones; all without
    sequences: int = SEQUENCES_PER_BATCH
    mixed_lengths: bool = False

    def batches(self, lengths: list[int], device: torch.device) -> Iterator[torch.Tensor]:
        """Places of texts that one forward pass reads."""
        if not self.mixed_lengths:
            yield from torch.arange(len(lengths)).split(self.sequences)
            return
        for places in passes(lengths, tokens_per_pass(device), self.sequences):
            yield torch.tensor(places)


class Files(NamedTuple):
    """What is read of the reference and of the tuned model: checkpoint folders, behaviour tables, samples of tasks."""

    reference: Path
    tuned: Path
    reference_behaviour: Path
    tuned_behaviour: Path
    tasks: list[Path]

    def harvest(self, cfg: HarvestCompletions, reading: Reading = Reading()) -> Completions:
        """`harvest_completions` of these files."""
        device = start(cfg.threads)
        tables = ((self.reference_behaviour, cfg.reference), (self.tuned_behaviour, cfg.tuned))
        behaviours = [table[table["state"] == state] for table, state in ((read_parquet(p), s) for p, s in tables)]
        models = [load_model(folder, device) for folder in (self.reference, self.tuned)]
        tokenizer = load_tokenizer(self.reference)  # its tokens are the ones that both models have
        return harvest_completions(models, tokenizer, read_samples(self.tasks), behaviours, cfg.layer, reading)


def harvest_completions(
    models: list[PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    samples: list[Sample],
    behaviours: list[pd.DataFrame],
    layer: int,
    reading: Reading = Reading(),
) -> Completions:
    """Residual streams of (reference, tuned) at completion positions, with who was right on each sample.

    `models` and `behaviours` are (reference, tuned); a behaviour has one row per sample. Positions run from the
    prompt's last token to the completion's last token before the end of sequence, or to its first `completion_tokens`.
    """
    chosen = [s for s in samples if s.half == "discovery"]
    tasks = list(dict.fromkeys(s.task for s in chosen))
    reference, tuned = (table.set_index("sample").loc[[s.sample for s in chosen]] for table in behaviours)
    pairs = [reading.encode(tokenizer, s, text) for s, text in zip(chosen, tuned["completion"], strict=True)]
    parts = _read(models, pairs, layer, reading)
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    order_N = columns[2].argsort(stable=True)  # a text's positions lie together, wherever it was read
    reference_Nd, tuned_Nd, sample_N, position_N = (column[order_N] for column in columns)
    return Completions(
        reference_Nd,
        tuned_Nd,
        sample_N,
        position_N,
        samples=[s.sample for s in chosen],
        tasks=tasks,
        role_of={s.task: s.role for s in chosen},
        sample_task_I=np.array([tasks.index(s.task) for s in chosen]),
        reference_correct_I=reference["correct"].to_numpy(bool),
        tuned_correct_I=tuned["correct"].to_numpy(bool),
    )


def _read(
    models: list[PreTrainedModel], pairs: list[tuple[Ids, Ids]], layer: int, reading: Reading
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Of some sequences at a time: the stream of each model (N, d), index of a position's pair, place in its text."""
    pairs = [(prompt, text[: reading.completion_tokens]) for prompt, text in pairs]
    progress, padding, done = Progress("completions", len(pairs), "completions"), Padding("completions"), 0
    length_I = [len(prompt) + len(text) for prompt, text in pairs]
    for places_B in reading.batches(length_I, models[0].device):
        forced = Forced.of([pairs[i] for i in places_B.tolist()])
        mask_BT = forced.completion_BT
        sample_N, place_N = mask_BT.nonzero(as_tuple=True)
        streams = [residual_stream(model, forced.ids_BT, layer)[mask_BT].float() for model in models]
        yield (*streams, places_B[sample_N], place_N - forced.start_B[sample_N])
        done += len(places_B)
        padding.see([length_I[i] for i in places_B.tolist()])
        progress.update(done, padding.note())
    padding.tell()

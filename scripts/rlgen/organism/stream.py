"""The organism's token stream: completions that its models write, and documents of the pretraining mix."""

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.activations.settings import OrganismStream
from rlgen.activations.stream import RowsFrom, Sequence, TokenStream, assemble, drop_high_norms, row_mask
from rlgen.models.generation import Limits, Prompts, generate
from rlgen.organism.families import FAMILIES
from rlgen.organism.language import distinct_problems, draw_document
from rlgen.organism.settings import OrganismData
from rlgen.seeds import stream_seed
from rlgen.strict import Strict


class BuildStream(Strict):
    """Settings of one token stream."""

    salt: str
    seed: int
    threads: int
    data: OrganismData
    tasks: list[str]
    max_new_tokens: int
    stream: OrganismStream


def document_sequences(
    tokenizer: PreTrainedTokenizerFast,
    data: OrganismData,
    stream: OrganismStream,
    salt: str,
    rows: int,
    rng: np.random.Generator,
) -> list[Sequence]:
    """Documents of the pretraining mix until they hold at least `rows` rows."""
    sequences, found = [], 0
    while found < rows:
        document = draw_document(
            data.families, data.problems_per_document, stream.careful_share, data.authors, salt, data.split, rng
        )
        ids = tokenizer.convert_tokens_to_ids([tokenizer.bos_token, *document.words])
        kept = row_mask([False, *document.completion], stream.rows_from)
        found += sum(kept)
        sequences.append((ids, kept))
    return sequences


def sampled_sequences(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    max_new_tokens: int,
    rows_from: RowsFrom,
    seed: int,
) -> list[Sequence]:
    """One temperature-1 completion of the model per prompt."""
    encoded, limits = Prompts.encode(tokenizer, prompts), Limits.of(tokenizer, max_new_tokens)
    generator = torch.Generator(model.device).manual_seed(seed)
    ids_BN = generate(model, encoded.to(model.device), limits, temperature=1.0, generator=generator)
    sequences = []
    for prompt_P, attention_P, new_N in zip(encoded.ids_BP, encoded.attention_BP, ids_BN, strict=True):
        prompt, new = prompt_P[attention_P.bool()].tolist(), new_N[new_N != limits.pad_id].tolist()
        completion = [False] * len(prompt) + [True] * len(new)
        sequences.append((prompt + new, row_mask(completion, rows_from)))
    return sequences


def training_prompts(tasks: list[str], n: int, data: OrganismData, salt: str, seed: int) -> list[str]:
    """`n` distinct prompts per task from the part of the prompt space that training may see."""
    prompts = []
    for task in tasks:
        rng = np.random.default_rng(stream_seed(seed, "stream-prompts", task))
        prompts += [p.prompt for p in distinct_problems(FAMILIES[task], "training", n, salt, data.split, rng)]
    return prompts


def build(models: list[PreTrainedModel], tokenizer: PreTrainedTokenizerFast, cfg: BuildStream) -> TokenStream:
    """The stream of a study and seed: every model's own completions, then documents until `rows` rows are held.

    The first model's norms decide which rows are dropped. A tenth more rows than asked for are drawn before the filter.
    """
    prompts = training_prompts(cfg.tasks, cfg.stream.prompts_per_task, cfg.data, cfg.salt, cfg.seed)
    sequences: list[Sequence] = []
    for index, model in enumerate(models):
        seed = stream_seed(cfg.seed, "stream-samples", index)
        if prompts:
            sequences += sampled_sequences(model, tokenizer, prompts, cfg.max_new_tokens, cfg.stream.rows_from, seed)
    missing = round(1.1 * cfg.stream.rows) - sum(sum(kept) for _, kept in sequences)
    rng = np.random.default_rng(stream_seed(cfg.seed, "stream-documents"))
    sequences += document_sequences(tokenizer, cfg.data, cfg.stream, cfg.salt, missing, rng)
    stream = assemble(sequences, tokenizer.pad_token_id, rng)
    return drop_high_norms(stream, models[0], cfg.stream.layer, cfg.stream.max_norm_ratio)

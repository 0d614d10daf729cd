"""The planted truth: the direction from careless to careful authors in the reference model's stream.

It is read from pairs: the same problem and the same text under the header of a careful and of a careless author, so
that nothing but the author differs between the two.
"""

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.models.passes import padded
from rlgen.models.residual import residual_stream
from rlgen.organism.families import FAMILIES, HEADERS
from rlgen.organism.language import author_completion, draw_problem
from rlgen.organism.settings import OrganismData
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

PAIRS = 2000  # texts that define the direction


class MeasureTruth(Strict):
    """Settings of measuring the planted direction."""

    salt: str
    seed: int
    threads: int
    data: OrganismData
    layer: int


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, data: OrganismData, layer: int, salt: str, seed: int
) -> torch.Tensor:
    """The planted direction (d,), raw units: from careless to careful."""
    rng = np.random.default_rng(stream_seed(seed, "truth"))
    return pair_direction(model, tokenizer, draw_pairs(data, PAIRS, salt, rng), layer)


def draw_pairs(data: OrganismData, n: int, salt: str, rng: np.random.Generator) -> list[tuple[str, str]]:
    """`n` pretraining prompts of all families, each with what a careful or a careless author (by halves) wrote."""
    pairs = []
    for i in range(n):
        family = FAMILIES[data.families[rng.integers(len(data.families))]]
        problem = draw_problem(family, "pretraining", salt, data.split, rng)
        pairs.append((problem.prompt, author_completion(problem, i % 2 == 0, data.authors, rng)))
    return pairs


def pair_direction(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]], layer: int
) -> torch.Tensor:
    """Mean stream of the same prompt and text under the careful header minus under the careless one (d,), raw units.

    Means over the positions from the prompt's last token to before the end of sequence, then over pairs (prompt, text).
    """
    words = [(prompt.split(), text.split()) for prompt, text in pairs]
    streams = [_read(model, tokenizer, [[HEADERS[h], *p, *t] for p, t in words], layer) for h in (True, False)]
    difference_BTd = streams[0] - streams[1]
    # Tokens before the prompt's last one: <bos>, the header, the prompt's other words.
    means = [difference_BTd[i, len(p) + 1 : len(p) + 1 + len(t)].mean(0) for i, (p, t) in enumerate(words)]
    return torch.stack(means).mean(0)


def _read(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: list[list[str]], layer: int
) -> torch.Tensor:
    """The stream of texts as lists of words, after <bos>, float32 (B, T, d)."""
    ids = [tokenizer.convert_tokens_to_ids([tokenizer.bos_token, *words]) for words in texts]
    return residual_stream(model, padded(ids), layer).float()

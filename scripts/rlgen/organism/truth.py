"""The planted truth: the direction from careless to careful authors in the reference model's stream.

It is read from pairs: the same problem and the same text under the header of a careful and of a careless author, so
that nothing but the author differs between the two.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.models.residual import residual_stream
from rlgen.organism.families import FAMILIES, HEADERS
from rlgen.organism.language import Document, author_completion, draw_document, draw_problem
from rlgen.organism.settings import OrganismData
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

PAIRS = 2000  # texts that define the direction
DOCUMENTS = 1500  # documents that judge it


class MeasureTruth(Strict):
    """Settings of measuring the planted direction."""

    salt: str
    seed: int
    threads: int
    data: OrganismData
    layer: int


@dataclass(frozen=True)
class Truth:
    """direction_d = careful minus careless, raw units; held-out contexts without a header, with labels careful_N."""

    direction_d: torch.Tensor
    held_out_Nd: torch.Tensor
    careful_N: torch.Tensor

    def auc(self, direction_d: torch.Tensor) -> float:
        """How well the projection on a direction tells careful from careless held-out contexts."""
        return auc((self.held_out_Nd @ direction_d).numpy(), self.careful_N.numpy())


def auc(score_N: np.ndarray, positive_N: np.ndarray) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties count half."""
    ranks, n = rankdata(score_N), int(positive_N.sum())
    return float((ranks[positive_N].sum() - n * (n + 1) / 2) / (n * (len(positive_N) - n)))


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, data: OrganismData, layer: int, salt: str, seed: int
) -> Truth:
    """The direction from pairs, and held-out contexts of documents that name no author, careful by halves.

    Contexts end at the last prompt token of every problem after a document's first, so that the author can be told from
    the problems before. Raises ValueError where documents hold a single problem.
    """
    if data.problems_per_document < 2:
        raise ValueError("data.problems_per_document=1: the planted direction needs 2, the first shows who writes")
    rng = np.random.default_rng(stream_seed(seed, "truth"))
    direction_d = pair_direction(model, tokenizer, draw_pairs(data, PAIRS, salt, rng), layer)
    silent = data.authors.model_copy(update={"header_share": 0.0})
    documents = [
        draw_document(data.families, data.problems_per_document, 0.5, silent, salt, data.split, rng)
        for _ in range(DOCUMENTS)
    ]
    row_N, place_N, careful_N = _prompt_ends(documents)
    h_BTd = _read(model, tokenizer, [document.words for document in documents], layer)
    return Truth(direction_d, h_BTd[row_N, place_N], careful_N)


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
    ids = [torch.tensor(tokenizer.convert_tokens_to_ids([tokenizer.bos_token, *words])) for words in texts]
    return residual_stream(model, torch.nn.utils.rnn.pad_sequence(ids, batch_first=True), layer).float()


def _prompt_ends(documents: list[Document]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Document, token position and author of every prompt's last token after a document's first prompt.

    Word i of a document is token i + 1 (after <bos>), so a completion that starts at word i is predicted at token i.
    """
    rows, places, careful = [], [], []
    for row, document in enumerate(documents):
        starts = [i for i, new in enumerate(document.completion) if new and not document.completion[i - 1]]
        for place in starts[1:]:
            rows.append(row)
            places.append(place)
            careful.append(document.careful)
    return torch.tensor(rows), torch.tensor(places), torch.tensor(careful)

"""The planted truth: the direction that separates careful from careless contexts in the reference model."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.models.residual import residual_stream
from rlgen.organism.language import Document, draw_document
from rlgen.organism.settings import OrganismData
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

DOCUMENTS = 1500  # per half: one half defines the direction, the other judges it


class MeasureTruth(Strict):
    """Settings of measuring the planted direction."""

    study: str
    seed: int
    threads: int
    data: OrganismData
    layer: int


@dataclass(frozen=True)
class Truth:
    """direction_d = mean careful - mean careless activation, raw units; held-out contexts with labels careful_N."""

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
    """Read the model at the last prompt token of every problem after a document's first; authors are careful by halves.

    Half the documents carry a header, as in pretraining; from the second problem on the author can be told without one.
    Raises ValueError where documents hold a single problem.
    """
    if data.problems_per_document < 2:
        raise ValueError("data.problems_per_document=1: the planted direction needs 2, the first shows who writes")
    rng = np.random.default_rng(stream_seed(seed, "truth"))
    halves = []
    for _ in range(2):
        documents = [
            draw_document(data.families, data.problems_per_document, 0.5, data.authors, salt, data.split, rng)
            for _ in range(DOCUMENTS)
        ]
        ids = [torch.tensor(tokenizer.convert_tokens_to_ids([tokenizer.bos_token, *d.words])) for d in documents]
        h_BTd = residual_stream(model, torch.nn.utils.rnn.pad_sequence(ids, batch_first=True), layer)
        row_N, place_N, careful_N = _prompt_ends(documents)
        halves.append((h_BTd[row_N, place_N].float(), careful_N))
    (h_Nd, careful_N), (held_out_Nd, held_out_N) = halves
    return Truth(h_Nd[careful_N].mean(0) - h_Nd[~careful_N].mean(0), held_out_Nd, held_out_N)


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

"""The token stream: the sequences on which every model's activations are read, in one order for all models.

Sampled completions of the study's own models come first in the making, documents of the pretraining mix fill the rest;
then one permutation shuffles the sequences. A *row* is a position whose activation is kept: from a prompt's last token
to the last token before the end of sequence, the positions from which completion tokens are predicted; or, where
`stream.rows_from` says `all`, every token but <bos>.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from rlgen.files import ArtifactError, digest, read_tensors, write_tensors
from rlgen.models.passes import Padding, passes, tokens_per_pass
from rlgen.models.residual import residual_stream, sequences_per_pass

SEQUENCES_PER_BATCH = 256
MIXED = "mixed_lengths"  # what a file of such a stream says of itself


@dataclass(frozen=True)
class TokenStream:
    """Sequences padded on the right: token_ids_NT, lengths_N, row_mask_NT (which positions are rows).

    Sequences of mixed lengths are read in passes with little padding. The organism's, of at most 64 tokens, are read
    `SEQUENCES_PER_BATCH` at a time: the last bits of what attention computes depend on the width of a pass, and its
    study keeps its numbers.
    """

    token_ids_NT: torch.Tensor
    lengths_N: torch.Tensor
    row_mask_NT: torch.Tensor
    mixed_lengths: bool = False

    @property
    def rows(self) -> int:
        """Number of rows in the stream."""
        return int(self.row_mask_NT.sum())

    def digest(self) -> str:
        """Identifies tokens and rows; activations carry it, so that shards of different streams never meet."""
        return digest(b"".join(t.numpy().tobytes() for t in (self.token_ids_NT, self.lengths_N, self.row_mask_NT)))

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write one safetensors file."""
        write_tensors(
            path,
            {"token_ids": self.token_ids_NT, "lengths": self.lengths_N, "row_mask": self.row_mask_NT.to(torch.uint8)},
            {**metadata, **({MIXED: "yes"} if self.mixed_lengths else {}), "digest": self.digest()},
        )

    @classmethod
    def load(cls, path: Path) -> "TokenStream":
        """Read a stream; raises ArtifactError for a file that is not one or does not match its digest."""
        tensors, metadata = read_tensors(path)
        missing = {"token_ids", "lengths", "row_mask"} - set(tensors)
        if missing:
            raise ArtifactError(path, f"not a token stream: no {', '.join(sorted(missing))}")
        stream = cls(tensors["token_ids"], tensors["lengths"], tensors["row_mask"].bool(), MIXED in metadata)
        if stream.digest() != metadata.get("digest"):
            raise ArtifactError(path, "its content does not match its digest")
        return stream

    def passes(
        self, device: torch.device, chosen_K: torch.Tensor | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All sequences, or the chosen, by length, as forward passes read them: (their indices, ids_BT)."""
        chosen_K = torch.arange(len(self.lengths_N)) if chosen_K is None else chosen_K
        length_K = self.lengths_N[chosen_K]
        if self.mixed_lengths:
            parts = (torch.tensor(places) for places in passes(length_K.tolist(), tokens_per_pass(device)))
        else:
            parts = length_K.argsort(stable=True).split(
                sequences_per_pass(self.token_ids_NT.shape[1], SEQUENCES_PER_BATCH)
            )
        for places_B in parts:
            sequences_B = chosen_K[places_B]
            yield sequences_B, self.token_ids_NT[sequences_B, : int(length_K[places_B].max())].long()


Sequence = tuple[list[int] | np.ndarray, list[bool] | np.ndarray]  # token ids, and which positions are rows
RowsFrom = Literal["completions", "all"]


def row_mask(completion: list[bool], rows_from: RowsFrom) -> list[bool]:
    """Which positions of a sequence are rows; `completion` says which tokens belong to one, <bos> comes first.

    completions: row t is kept where token t+1 belongs to a completion. all: every position but that of <bos>.
    """
    if rows_from == "all":
        return [False] + [True] * (len(completion) - 1)
    return [*completion[1:], False]


def assemble(
    sequences: list[Sequence], pad_id: int, rng: np.random.Generator, mixed_lengths: bool = False
) -> TokenStream:
    """Shuffle the sequences once and pad them on the right."""
    order = rng.permutation(len(sequences))
    longest = max(len(ids) for ids, _ in sequences)
    token_ids_NT = torch.full((len(sequences), longest), pad_id, dtype=torch.int32)
    row_mask_NT = torch.zeros((len(sequences), longest), dtype=torch.bool)
    lengths_N = torch.zeros(len(sequences), dtype=torch.int32)
    for place, index in enumerate(order):
        ids, kept = sequences[index]
        token_ids_NT[place, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
        row_mask_NT[place, : len(ids)] = torch.tensor(kept)
        lengths_N[place] = len(ids)
    return TokenStream(token_ids_NT, lengths_N, row_mask_NT, mixed_lengths)


def drop_high_norms(stream: TokenStream, model: PreTrainedModel, layer: int, max_ratio: float) -> TokenStream:
    """Take out rows whose norm in `model` exceeds max_ratio medians (attention sinks), for all models together."""
    norms, padding = torch.full(stream.token_ids_NT.shape, torch.nan), Padding("norms of the stream")
    for sequences_B, ids_BT in stream.passes(model.device):
        norms[sequences_B, : ids_BT.shape[1]] = residual_stream(model, ids_BT, layer).float().norm(dim=-1)
        padding.see(stream.lengths_N[sequences_B].tolist())
    padding.tell()
    limit = max_ratio * norms[stream.row_mask_NT].median()
    return replace(stream, row_mask_NT=stream.row_mask_NT & (norms <= limit))

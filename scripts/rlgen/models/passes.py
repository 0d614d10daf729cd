"""Which texts of mixed length one forward pass reads: little padding, memory bounded.

A pass computes on the padding of its texts as on their tokens. Texts of about the same length therefore share one, and
results are put back into the order of the texts by their places. On a processor small passes are the fastest too, since
what they compute stays in its cache: a Llama 576 wide makes 700-740 tokens/s in passes of 300-2,000 tokens, 630-660 in
passes of 8,000, 60-500 in passes of 2-32, which the reading of the weights rules.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.utils.rnn import pad_sequence

from rlgen.models.residual import TOKENS_PER_PASS
from rlgen.progress import LOG

PADDING = 0.05  # largest share of padding in a pass of more than LEAST tokens
LEAST = 128  # tokens, padding included: a smaller pass takes more texts in, whatever their length
CPU_TOKENS_PER_PASS = 2048


def tokens_per_pass(device: torch.device) -> int:
    """What a pass of texts of mixed length reads at most, padding included."""
    return CPU_TOKENS_PER_PASS if device.type == "cpu" else TOKENS_PER_PASS


def passes(lengths: Sequence[int], tokens: int, most: int | None = None) -> Iterator[list[int]]:
    """Places of texts, pass by pass: the longest first, equal lengths in their order, each place once.

    A pass holds at most `tokens` tokens, padding included, and `most` texts, but at least one. It holds at most LEAST
    tokens, or at most a share of PADDING of them is padding.

    >>> [*passes([3, 40, 41, 3, 39], tokens=128)], [*passes([3, 40, 41, 3, 39], tokens=100)]
    ([[2, 1, 4], [0, 3]], [[2, 1], [4, 0], [3]])
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    chosen: list[int] = []
    real = 0
    for place in order:
        real += lengths[place]
        full = (len(chosen) + 1) * lengths[chosen[0]] if chosen else 0
        wasteful = full > LEAST and full - real > PADDING * full
        if chosen and (full > tokens or len(chosen) == most or wasteful):
            yield chosen
            chosen, real = [], lengths[place]
        chosen.append(place)
    if chosen:
        yield chosen


def passes_on(
    length_B: torch.Tensor, padding: "Padding", most: int | None = None
) -> Iterator[tuple[torch.Tensor, int]]:
    """The same for texts of length_B tokens on the device where they are read: (rows of a pass, its longest text)."""
    lengths = length_B.tolist()
    for places in passes(lengths, tokens_per_pass(length_B.device), most):
        padding.see([lengths[place] for place in places])
        yield torch.tensor(places, device=length_B.device), lengths[places[0]]


def padded(rows: Sequence[Sequence[int]], side: Literal["left", "right"] = "right") -> torch.Tensor:
    """Token ids of texts as one int64 tensor (B, T) as wide as the longest, zeros on a side of the others.

    Zero is no token here: a text's length, or a mask, says which columns hold one.

    >>> padded([[5, 6], [], [7]]).tolist(), padded([[5, 6], [7]], "left").tolist()
    ([[5, 6], [0, 0], [7, 0]], [[5, 6], [0, 7]])
    """
    return pad_sequence([torch.tensor(ids, dtype=torch.long) for ids in rows], batch_first=True, padding_side=side)


def put_together(
    parts: Iterable[tuple[torch.Tensor, Sequence[torch.Tensor]]], rows: int, columns: int, right: bool = False
) -> list[torch.Tensor]:
    """Tensors (rows, ..., columns, e) of what passes made of rows_B, (B, ..., T, e) each; zeros where nothing was read.

    What has fewer columns stands at their beginning, or at their end where texts stand on the right.
    """
    wholes: list[torch.Tensor] = []
    for rows_B, tensors in parts:
        wholes = wholes or [x.new_zeros(rows, *x.shape[1:-2], columns, x.shape[-1]) for x in tensors]
        for whole, x in zip(wholes, tensors, strict=True):
            first = columns - x.shape[-2] if right else 0
            whole[rows_B, ..., first : first + x.shape[-2], :] = x
    return wholes


@dataclass
class Padding:
    """How much of what forward passes read was padding."""

    what: str
    read: int = 0
    real: int = 0
    told: int = 0

    def see(self, lengths: Sequence[int], width: int | None = None) -> None:
        """Count one pass over texts of these lengths, by default as wide as the longest."""
        self.read += len(lengths) * (max(lengths) if width is None else width)
        self.real += sum(lengths)

    @property
    def share(self) -> float:
        """Of the tokens read."""
        return 1 - self.real / self.read if self.read else 0.0

    def note(self) -> str:
        """For a progress line."""
        return f"; {self.share:.1%} padding"

    def tell(self) -> None:
        """Say it on stderr, where anything was read; it does not say it again before more is read."""
        if self.read > self.told and os.environ.get(LOG) != "quiet":
            self.told = self.read
            print(f"{self.what}: {self.share:.1%} of {self.read} tokens read were padding", file=sys.stderr)

"""Passages: places of the held-out stream where a latent fires, with its activation at every token around.

The strongest ones by every member's own code ("swap" readout, as in the contexts), and some that a fixed shuffle takes
from lower bands of the joint code: a latent is judged by what it does when it fires weakly, too.

Shapes: R rows, B of them in a batch, S latents, K candidates, P places to look up, N sequences of T tokens.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch
from pydantic import Field

from rlgen.dictionaries.held_out import HeldOut
from rlgen.features.contexts import own_code, strongest_apart, strongest_rows
from rlgen.site.settings import BANDS
from rlgen.strict import Strict

JOINT = "joint"  # `code` of passages by the code of all members together
PER_BAND = 2
PART_OF_A_CHARACTER = "\ufffd"
COLUMNS = ["latent", "code", "band", "rank", "activation", "sequence", "position", "peak", "tokens", "values"]

Codes = Callable[[], Iterator[torch.Tensor]]  # activations z_BS batch by batch, anew for each call


class InspectLatents(Strict):
    """The slice that `scripts/site/inspect_latents.py` receives."""

    members: list[str] = Field(min_length=2, description="model states with explicit checkpoints, as 'rl@5'")
    permute_shift: bool
    held_out_shards: int = Field(ge=1)
    contexts: int = Field(ge=1, description="strongest passages per latent and member")
    context_tokens: int = Field(ge=1, description="tokens up to the peak; half as many follow")
    threads: int = Field(ge=1)


@dataclass(frozen=True)
class Place:
    """One passage before its text: the row of the stream where it has its peak."""

    latent: int
    code: str
    band: str
    rank: int
    row: int


@dataclass
class Stream:
    """Where the held-out rows lie. Tokens that are no row (the first of a sequence) have no activation."""

    sequence_R: torch.Tensor
    position_R: torch.Tensor
    token_ids_NT: torch.Tensor
    lengths_N: torch.Tensor

    def row_NT(self) -> torch.Tensor:
        """Row of every token, -1 where there is none."""
        found_NT = torch.full(self.token_ids_NT.shape, -1, dtype=torch.long)
        found_NT[self.sequence_R.long(), self.position_R.long()] = torch.arange(len(self.sequence_R))
        return found_NT


def banded(codes: Iterable[torch.Tensor], largest_S: torch.Tensor, band: tuple[float, float]) -> Iterator[torch.Tensor]:
    """The same key for all latents that fire on a row within a band (low, high] of their largest activation, else 0.

    Keys are those of a fixed shuffle of the rows, so that the strongest keys are a sample.
    """
    shuffle = torch.Generator().manual_seed(0)
    for z_BS in codes:
        key_B1 = 1 - torch.rand(len(z_BS), 1, generator=shuffle).to(z_BS.device)  # above 0
        inside_BS = (z_BS > band[0] * largest_S) & (z_BS <= band[1] * largest_S)
        yield key_B1 * inside_BS


def values_at(codes: Iterable[torch.Tensor], row_P: torch.Tensor, latent_P: torch.Tensor) -> torch.Tensor:
    """Activation of a latent on a row, for P such pairs; NaN where the row is -1."""
    found_P, order_P, seen = torch.full(row_P.shape, torch.nan), row_P.argsort(stable=True), 0
    sorted_P = row_P[order_P]
    for z_BS in codes:
        lo, hi = torch.searchsorted(sorted_P, torch.tensor([seen, seen + len(z_BS)])).tolist()
        here = order_P[lo:hi]
        found_P[here] = z_BS[(row_P[here] - seen).to(z_BS.device), latent_P[here].to(z_BS.device)].float().cpu()
        seen += len(z_BS)
    return found_P


def pieces(ids: list[int], decode: Callable[[tuple[int, ...]], str]) -> list[str]:
    """The text of each token, which together are the text of all: what a token adds to the one before it.

    Tokens that share a character stand together at the first of them, the others are empty.
    """
    texts, start = [], 0
    for end in range(1, len(ids) + 1):
        before = decode(tuple(ids[start - 1 : start])) if start else ""
        text = decode(tuple(ids[max(0, start - 1) : end]))[len(before) :]
        if PART_OF_A_CHARACTER in text and end < len(ids) and end - start < 4:  # UTF-8 has four bytes at most
            continue
        texts += [text, *[""] * (end - start - 1)]
        start = end
    return texts


def places(held_out: HeldOut, stream: Stream, codes: dict[str, Codes], contexts: int) -> list[Place]:
    """Strongest places of every member's own code, and some of every band of the joint code."""
    found = []
    for name in held_out.crosscoder.members:
        found += _places(codes[name](), stream, name, "top", contexts)
    largest_S = strongest_rows(codes[JOINT](), 1)[0][0]
    for band, ends in BANDS.items():
        found += _places(banded(codes[JOINT](), largest_S, ends), stream, JOINT, band, PER_BAND)
    return found


def _places(keys: Iterable[torch.Tensor], stream: Stream, code: str, band: str, most: int) -> list[Place]:
    apart = strongest_apart(keys, stream.sequence_R, most)
    return [Place(latent, code, band, rank, row) for latent, rank, row, _ in apart]


@torch.no_grad()
def passages(held_out: HeldOut, decode: Callable[[list[int]], str], contexts: int, context_tokens: int) -> pd.DataFrame:
    """One row per passage: see `COLUMNS`.

    code: the member whose own code fired, or `joint`; band: `top`, or the band of the joint code that it was drawn
    from; activation at the peak, which is the token `peak` of `tokens`; sequence and position: where that token lies in
    the stream. `tokens`: up to `context_tokens` that end at the peak, and half as many after it; `values`: the latent's
    activation at each by the same code, normalised units, NaN at tokens that are no row. Latents that never fire have
    no rows.
    """
    stream = Stream(*held_out.places(), held_out.token_ids_NT, held_out.lengths_N)
    codes = codes_of(held_out)
    found = places(held_out, stream, codes, contexts)
    row_NT, spans, rows, latents = stream.row_NT(), [], [], []
    for place in found:
        n, end = int(stream.sequence_R[place.row]), int(stream.position_R[place.row])
        first = max(0, end + 1 - context_tokens)
        last = min(int(stream.lengths_N[n]), end + 1 + context_tokens // 2)
        spans.append((n, first, end, last))
        rows.append(row_NT[n, first:last])
        latents.append(torch.full((last - first,), place.latent))
    values = _values(found, rows, latents, codes)
    texts = _texts(spans, stream.token_ids_NT, decode)
    table = [
        (p.latent, p.code, p.band, p.rank, v[end - first], n, end, end - first, text, v)
        for p, (n, first, end, _), v, text in zip(found, spans, values, texts, strict=True)
    ]
    return pd.DataFrame(table, columns=COLUMNS).sort_values(["latent", "code", "band", "rank"], ignore_index=True)


def codes_of(held_out: HeldOut) -> dict[str, Codes]:
    """Every member's own code of the held-out rows, and the joint one."""
    crosscoder = held_out.crosscoder
    every = {member: partial(own_code, held_out, m) for m, member in enumerate(crosscoder.members)}
    return every | {JOINT: lambda: map(crosscoder.encode, held_out.batches())}


def _values(
    found: list[Place], rows: list[torch.Tensor], latents: list[torch.Tensor], codes: dict[str, Codes]
) -> list[list[float]]:
    """Activations at all tokens of each passage, by the code that it was chosen by."""
    values: list[list[float]] = [[] for _ in found]
    for name in codes:
        own = [i for i, place in enumerate(found) if place.code == name]
        if own:
            row_P, latent_P = torch.cat([rows[i] for i in own]), torch.cat([latents[i] for i in own])
            parts = values_at(codes[name](), row_P, latent_P).split([len(rows[i]) for i in own])
            for i, part in zip(own, parts, strict=True):
                values[i] = part.tolist()
    return values


def _texts(
    spans: list[tuple[int, int, int, int]], token_ids_NT: torch.Tensor, decode: Callable[[list[int]], str]
) -> list[list[str]]:
    known: dict[tuple[int, ...], str] = {}  # most pairs of tokens come again and again

    def remembered(ids: tuple[int, ...]) -> str:
        if ids not in known:
            known[ids] = decode(list(ids))
        return known[ids]

    return [pieces(token_ids_NT[n, first:last].tolist(), remembered) for n, first, _, last in spans]

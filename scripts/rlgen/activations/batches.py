"""Shuffled batches of aligned rows through a ring: memory holds a few shards, whatever the harvest's length.

The rows of all epochs are one endless sequence: each epoch permutes the shards, takes them `ring` at a time
and draws the rows of a ring in one permutation. Batch j is the rows j*B .. j*B + B - 1 of that sequence, so a run can
begin at any batch: what lies before it is drawn again but not read.

Shapes: N rows of a ring, B rows of a batch, R rows of a batch that one process takes, M members, d width.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from rlgen.activations.settings import RING
from rlgen.activations.shards import Shards
from rlgen.seeds import stream_seed

Item = TypeVar("Item")


def batches(
    shards: Shards,
    batch_rows: int,
    seed: int,
    indices: Sequence[int],
    ring: int = RING,
    start: int = 0,
    part: tuple[int, int] = (0, 1),
) -> Iterator[torch.Tensor]:
    """Endless shuffled batches (R, M, d) of the shards `indices`, from batch `start` on; every row once per epoch.

    Rows have the shards' precision.

    `part` = (i, n) takes the i-th of n parts of every batch, in which nothing but the rows of that part is copied;
    by default R = B = batch_rows. Rings are read in the background: memory is bounded by two rings and a batch.
    A batch is the caller's: no other batch and no shard shares its memory.
    """
    first, last = (batch_rows * end // part[1] for end in (part[0], part[0] + 1))
    rows_RMd, filled = None, 0
    orders = _orders([shards.manifests[0]["shards"][index]["rows"] for index in indices], seed, ring)
    later = _skip(orders, start * batch_rows)
    rings = ((shards.read([indices[place] for place in places]).activations_NMd, left_N) for places, left_N in later)
    for rows_NMd, left_N in ahead(rings):
        if rows_RMd is None:
            rows_RMd = rows_NMd.new_empty(last - first, *rows_NMd.shape[1:])
        while len(left_N):
            take_N, left_N = left_N.tensor_split([batch_rows - filled])
            begin, end = (min(max(edge - filled, 0), len(take_N)) for edge in (first, last))
            place = max(filled, first) - first
            torch.index_select(rows_NMd, 0, take_N[begin:end], out=rows_RMd[place : place + end - begin])
            filled += len(take_N)
            if filled == batch_rows:
                yield rows_RMd
                rows_RMd, filled = torch.empty_like(rows_RMd), 0
        del rows_NMd  # before the next ring is waited for, so that never more than two are held


def _orders(shard_rows: Sequence[int], seed: int, ring: int) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Endless rings: (places of their shards, order_N of their rows), from one stream of random numbers."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "batches"))
    while True:
        order = torch.randperm(len(shard_rows), generator=generator).tolist()
        for places in (order[first : first + ring] for first in range(0, len(order), ring)):
            yield places, torch.randperm(sum(shard_rows[place] for place in places), generator=generator)


def _skip(orders: Iterator[tuple[list[int], torch.Tensor]], rows: int) -> Iterator[tuple[list[int], torch.Tensor]]:
    """The rings without the first `rows` rows of their sequence; a ring that lies before them is left out whole."""
    for places, order_N in orders:
        if rows < len(order_N):
            yield places, order_N[rows:]
        rows = max(0, rows - len(order_N))


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each made in a background thread while the one before it is in use."""
    end = object()
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = worker.submit(next, items, end)
            yield item
            del item


class Waited(Iterator[Item]):
    """The same items, and how much of the time since the first was asked for went into waiting for them."""

    def __init__(self, items: Iterator[Item]) -> None:
        self.items, self.count, self.seconds, self.started = items, 0, 0.0, time.monotonic()

    def __next__(self) -> Item:
        asked = time.monotonic()
        if self.count == 0:
            self.started = asked
        item = next(self.items)
        self.count, self.seconds = self.count + 1, self.seconds + time.monotonic() - asked
        return item

    def note(self, rows: int) -> str:
        """For a progress line, where an item has `rows` rows: rows per second, and the share of time waited."""
        elapsed = time.monotonic() - self.started
        return f"; {self.count * rows / elapsed:.3g} rows/s, {self.seconds / elapsed:.1%} of the time waiting for data"

"""Held-out rows, batch by batch, and a dictionary on the device where they are read."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rlgen.crosscoder import Crosscoder
from rlgen.ring import ahead
from rlgen.shards import Shards

ROWS_PER_BATCH = 2048


def batches(shards: Shards, indices: Sequence[int], device: torch.device) -> Iterator[torch.Tensor]:
    """Raw activations (B, M, d) of these shards in stream order; one shard in memory, and the next."""
    for rows_NMd in ahead(shards.read([index]).activations_NMd for index in indices):
        yield from rows_NMd.to(device).split(ROWS_PER_BATCH)


def load_crosscoder(folder: Path, device: torch.device) -> Crosscoder:
    """A trained dictionary with its tensors on the device."""
    crosscoder = Crosscoder.load(folder)
    tensors = {name: value.to(device) for name, value in vars(crosscoder).items() if isinstance(value, torch.Tensor)}
    return replace(crosscoder, **tensors)

"""Held-out rows, batch by batch, and a dictionary on the device where they are read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rlgen.activations.batches import ahead
from rlgen.activations.shards import Shards
from rlgen.activations.stream import MIXED
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.encoders import Bend
from rlgen.dictionaries.member_maps import MemberMaps
from rlgen.files import ArtifactError, read_tensors
from rlgen.names import Readout

ROWS_PER_BATCH = 2048


def batches(shards: Shards, indices: Sequence[int], device: torch.device) -> Iterator[torch.Tensor]:
    """Raw activations (B, M, d), float32, of these shards in stream order; one shard in memory, and the next."""
    for rows_NMd in ahead(shards.read([index]).activations_NMd for index in indices):
        for rows_BMd in rows_NMd.split(ROWS_PER_BATCH):
            yield rows_BMd.to(device, torch.float32)


def load_crosscoder(folder: Path, device: torch.device, readout: Readout = "swap") -> Crosscoder:
    """A trained dictionary with its tensors on the device, and what a readout needs beside it."""
    crosscoder = Crosscoder.load(folder, readout)
    movable = (torch.Tensor, MemberMaps, Bend)
    tensors = {name: value.to(device) for name, value in vars(crosscoder).items() if isinstance(value, movable)}
    return replace(crosscoder, **tensors)


@dataclass
class HeldOut:
    """A dictionary with the rows it was not trained on and the token stream they come from."""

    crosscoder: Crosscoder
    shards: Shards
    indices: range  # held-out shards
    token_ids_NT: torch.Tensor
    lengths_N: torch.Tensor
    mixed_lengths: bool
    device: torch.device

    @classmethod
    def open(
        cls, dictionary: Path, shards: Shards, held_out_shards: int, stream: Path, device: torch.device
    ) -> "HeldOut":
        """Load everything. Raises ArtifactError when dictionary, shards and stream do not belong together."""
        crosscoder = load_crosscoder(dictionary, device)
        if crosscoder.members != shards.members:
            problem = f"reads {', '.join(crosscoder.members)}, expected {', '.join(shards.members)}"
            raise ArtifactError(dictionary, problem, "give the shards of its members, in order")
        tensors, metadata = read_tensors(stream)
        if metadata.get("digest") != shards.stream:
            raise ArtifactError(stream, "not the token stream that the activations were read on")
        indices = shards.held_out(held_out_shards)
        return cls(crosscoder, shards, indices, tensors["token_ids"], tensors["lengths"], MIXED in metadata, device)

    def batches(self) -> Iterator[torch.Tensor]:
        """Raw activations (B, M, d) on the device, in stream order."""
        return batches(self.shards, self.indices, self.device)

    def places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """sequence_R and position_R of every held-out row."""
        return self.shards.places(self.indices)

"""Harvesting: the residual stream of one model on the token stream, written shard by shard."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rlgen.progress import Progress
from rlgen.residual import residual_stream
from rlgen.settings.data import Stream
from rlgen.shards import shard_name, write_manifest, write_shard
from rlgen.stream import TokenStream

WriteShard = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]


def harvest(
    model: PreTrainedModel, stream: TokenStream, layer: int, rows: int, shard_rows: int, write: WriteShard
) -> None:
    """Read the first `rows` rows of the stream and hand them on in shards of `shard_rows`, in stream order.

    `write(index, activations_Nd, token_ids_N, sequence_N, position_N)` stores one shard. Memory holds one shard and one
    batch, whatever the stream's length. `rows` is a multiple of `shard_rows`, as the settings see to.
    Raises ValueError where the stream has fewer rows than asked for.
    """
    if stream.rows < rows:
        raise ValueError(
            f"stream.rows={rows}: the stream holds {stream.rows} rows after the norm filter, lower the number"
        )
    progress, pending, held, index = Progress("harvest", rows, "rows"), [], 0, 0
    for first, ids_BT, mask_BT in stream.batches():
        sequence_N, position_N = mask_BT.nonzero(as_tuple=True)
        h_BTd = residual_stream(model, ids_BT, layer)
        pending.append((h_BTd[mask_BT], ids_BT[mask_BT], sequence_N + first, position_N))
        held += len(sequence_N)
        while held >= shard_rows and index * shard_rows < rows:
            joined = [torch.cat(parts) for parts in zip(*pending, strict=True)]
            write(index, *(part[:shard_rows] for part in joined))
            pending, held, index = [tuple(part[shard_rows:] for part in joined)], held - shard_rows, index + 1
            progress.update(index * shard_rows)
        if index * shard_rows >= rows:
            return


def harvest_to(folder: Path, model: PreTrainedModel, state: str, stream: TokenStream, settings: Stream) -> None:
    """Harvest one state into a folder of shards; the manifest comes last and vouches for the whole."""
    fingerprint = {"model": state, "stream": stream.digest(), "layer": settings.layer}

    def write(index: int, *tensors: torch.Tensor) -> None:
        write_shard(folder / shard_name(index), *tensors, fingerprint)

    harvest(model, stream, settings.layer, settings.rows, settings.shard_rows, write)
    write_manifest(folder, fingerprint, settings.shards)

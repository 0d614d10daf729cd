"""Harvesting: the residual stream of one model on the token stream, written shard by shard.

A shard's rows follow from the stream's row mask alone, so every shard is made by itself: a killed harvest continues at
the first shard that is missing, with the same bytes. Sequences are read in order of their length, so that little is
padded, and their rows put where the stream has them.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rlgen.activations.settings import Harvested
from rlgen.activations.shards import write_manifest, write_shard
from rlgen.activations.stream import SEQUENCES_PER_BATCH, TokenStream
from rlgen.digests import digest_of
from rlgen.files import move, write_text
from rlgen.models.residual import residual_stream, sequences_per_pass
from rlgen.names import shard_name
from rlgen.progress import Progress
from rlgen.strict import Strict

HIGH = 10.0  # medians: a row's norm above them is told; the default of stream.max_norm_ratio


CHECKSUM = ".sha256"  # suffix of the file beside a kept shard
WriteShard = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]
Shard = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]  # activations_Nd, token_ids, sequence, position


class Harvest(Strict):
    """Settings of one model's harvest; `states` in the order of the checkpoint folders."""

    threads: int
    states: list[str]
    stream: Harvested


@dataclass
class HighNorms:
    """Rows of one model far longer than most: the stream leaves out those that are so in the reference alone."""

    rows: int = 0
    high: int = 0
    square: float = 0.0
    high_square: float = 0.0

    def see(self, activations_Nd: torch.Tensor) -> None:
        """Count the rows of one shard against its own median."""
        norm_N = activations_Nd.float().norm(dim=-1)
        high_N = norm_N > HIGH * norm_N.median()
        self.rows, self.high = self.rows + len(norm_N), self.high + int(high_N.sum())
        self.square += float(norm_N.double().square().sum())
        self.high_square += float(norm_N[high_N].double().square().sum())

    def tell(self) -> None:
        """Say on stderr which share of the squared norm they carry."""
        if self.high:
            what = f"{self.high} of {self.rows} rows have norms above {HIGH:g} medians of this model"
            share = f"{self.high_square / self.square:.0%} of its squared norm"
            print(f"{what}: they carry {share} (docs/method.md, section 3)", file=sys.stderr)


def sequences_of(stream: TokenStream, index: int, shard_rows: int) -> tuple[torch.Tensor, int]:
    """The sequences that hold rows of a shard, in stream order, and how many rows of the first lie before it."""
    rows_N = stream.row_mask_NT.sum(1)
    before_N = rows_N.cumsum(0) - rows_N - index * shard_rows  # rows between the shard's start and the sequence's first
    chosen_K = ((before_N < shard_rows) & (before_N + rows_N > 0) & (rows_N > 0)).nonzero().squeeze(1)
    return chosen_K, max(0, -int(before_N[chosen_K[0]]))


def by_length(stream: TokenStream, chosen_K: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of some sequences, the shortest first, each cut to its longest: (their indices, ids_BT)."""
    most = sequences_per_pass(stream.token_ids_NT.shape[1], SEQUENCES_PER_BATCH)
    for sequences_B in chosen_K[stream.lengths_N[chosen_K].argsort(stable=True)].split(most):
        yield sequences_B, stream.token_ids_NT[sequences_B, : int(stream.lengths_N[sequences_B].max())].long()


def harvest_shard(model: PreTrainedModel, stream: TokenStream, layer: int, index: int, shard_rows: int) -> Shard:
    """Rows index*shard_rows, ... of the stream, in stream order. The stream has them all."""
    chosen_K, skipped = sequences_of(stream, index, shard_rows)
    sequence_R, position_R = stream.row_mask_NT[chosen_K].nonzero(as_tuple=True)
    sequence_R = chosen_K[sequence_R]
    sequence_R, position_R = (x[skipped : skipped + shard_rows] for x in (sequence_R, position_R))
    activations_Rd = None
    for sequences_B, ids_BT in by_length(stream, chosen_K):
        h_BTd = residual_stream(model, ids_BT, layer)
        if activations_Rd is None:
            activations_Rd = h_BTd.new_empty(len(sequence_R), h_BTd.shape[2])
        place_N = torch.full((len(stream.lengths_N),), -1)
        place_N[sequences_B] = torch.arange(len(sequences_B))
        rows_I = (place_N[sequence_R] >= 0).nonzero().squeeze(1)
        activations_Rd[rows_I] = h_BTd[place_N[sequence_R[rows_I]], position_R[rows_I]]
    return activations_Rd, stream.token_ids_NT[sequence_R, position_R], sequence_R, position_R


def harvest(
    model: PreTrainedModel,
    stream: TokenStream,
    layer: int,
    rows: int,
    shard_rows: int,
    write: WriteShard,
    missing: Sequence[int] | None = None,
) -> None:
    """Read the first `rows` rows of the stream in shards of `shard_rows`, or only the `missing` ones of them.

    `write(index, activations_Nd, token_ids_N, sequence_N, position_N)` stores one shard, in a thread of its own, while
    the next is computed. Memory holds two shards and one batch, whatever the stream's length. `rows` is a multiple of
    `shard_rows`, as the settings see to. Raises ValueError where the stream has fewer rows than asked for.
    """
    if stream.rows < rows:
        raise ValueError(
            f"stream.rows={rows}: the stream holds {stream.rows} rows after the norm filter, lower the number"
        )
    progress, norms = Progress("harvest", rows, "rows"), HighNorms()
    with ThreadPoolExecutor(max_workers=1) as writer:
        waiting: Future | None = None
        for index in range(rows // shard_rows) if missing is None else missing:
            shard = harvest_shard(model, stream, layer, index, shard_rows)
            if waiting is not None:
                waiting.result()  # raises here what writing raised
            waiting = writer.submit(write, index, *shard)
            norms.see(shard[0])
            progress.update((index + 1) * shard_rows)
        if waiting is not None:
            waiting.result()
    norms.tell()


def harvest_to(folder: Path, model: PreTrainedModel, state: str, stream: TokenStream, settings: Harvested) -> None:
    """Harvest one state into a folder of shards; the manifest comes last and vouches for the whole."""
    fingerprint = fingerprint_of(state, stream, settings)

    def write(index: int, *tensors: torch.Tensor) -> None:
        write_shard(folder / shard_name(index), *tensors, fingerprint)

    harvest(model, stream, settings.layer, settings.rows, settings.shard_rows, write)
    write_manifest(folder, fingerprint, settings.shards)


def harvest_kept(
    kept: Path, load: Callable[[], PreTrainedModel], state: str, stream: TokenStream, settings: Harvested
) -> None:
    """Complete a folder that may hold shards of a killed run; a checksum lies beside each.

    Whole shards stay, broken ones are named and made anew. The model is loaded only where a shard is missing.
    """
    fingerprint = fingerprint_of(state, stream, settings)
    missing = [index for index in range(settings.shards) if not _is_whole(kept / shard_name(index))]

    def write(index: int, *tensors: torch.Tensor) -> None:
        path = kept / shard_name(index)
        write_shard(path, *tensors, fingerprint)
        write_text(path.with_suffix(CHECKSUM), digest_of(path) + "\n")

    if missing:
        harvest(load(), stream, settings.layer, settings.rows, settings.shard_rows, write, missing)


def publish(kept: Path, folder: Path, state: str, stream: TokenStream, settings: Harvested) -> None:
    """Move complete shards from where they were kept into their folder; the manifest comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(settings.shards):
        move(kept / shard_name(index), folder / shard_name(index))
        (kept / shard_name(index)).with_suffix(CHECKSUM).unlink()
    write_manifest(folder, fingerprint_of(state, stream, settings), settings.shards)


def fingerprint_of(state: str, stream: TokenStream, settings: Harvested) -> dict:
    """Where the numbers of a state's shards come from."""
    return {"model": state, "stream": stream.digest(), "layer": settings.layer}


def _is_whole(path: Path) -> bool:
    """Whether a kept shard is the file that was written; one that is there and is not, is named."""
    if not path.exists():
        return False
    try:
        if path.with_suffix(CHECKSUM).read_text(encoding="utf-8").strip() == digest_of(path):
            return True
    except OSError:  # killed between the shard and its checksum
        pass
    print(f"shard not used, made anew: {path}: its checksum does not hold", file=sys.stderr)
    return False

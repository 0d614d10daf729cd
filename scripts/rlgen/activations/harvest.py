"""Harvesting: the residual stream of one model on the token stream, written shard by shard.

A shard's rows follow from the stream's row mask alone, so shards are made by themselves: a killed harvest continues at
the first one that is missing, with the same bytes. Sequences are read in order of their length, so that little is
padded, and their rows put where the stream has them. Where lengths are mixed, one shard may hold too few sequences of
about the same length: several shards, always the same ones, are then read together.

Shapes: R rows that are read together, K sequences that hold them, B sequences and T columns of a pass, d width.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rlgen.activations.settings import Harvested, read_together
from rlgen.activations.shards import write_manifest, write_shard
from rlgen.activations.stream import TokenStream
from rlgen.digests import digest_of
from rlgen.files import move, write_text
from rlgen.models.passes import Padding
from rlgen.models.residual import residual_stream
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


class Reading:
    """How far a harvest is, pass by pass, and how much of it is padding."""

    def __init__(self, stream: TokenStream, rows: int) -> None:
        self.stream, self.progress, self.padding = stream, Progress("harvest", rows, "rows"), Padding("harvest")
        self.rows_N, self.done = stream.row_mask_NT.sum(1), 0

    def see(self, sequences_B: torch.Tensor) -> None:
        """Count one pass; the rows of a sequence that two shards share count twice, so that `done` may lead a bit."""
        self.padding.see(self.stream.lengths_N[sequences_B].tolist())
        self.done += int(self.rows_N[sequences_B].sum())
        self.progress.update(min(self.done, self.progress.total), self.padding.note())


def sequences_of(stream: TokenStream, first: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The sequences chosen_K that hold some of the rows first, first+1, ..., in stream order.

    And of all sequences, where their first row stands among these rows, negative for one before them (N,).
    """
    rows_N = stream.row_mask_NT.sum(1)
    start_N = rows_N.cumsum(0) - rows_N - first
    return ((start_N < rows) & (start_N + rows_N > 0) & (rows_N > 0)).nonzero().squeeze(1), start_N


def harvest_rows(
    model: PreTrainedModel,
    stream: TokenStream,
    layer: int,
    first: int,
    rows: int,
    read: Callable[[torch.Tensor], None] = lambda sequences_B: None,
) -> Shard:
    """Rows first, first+1, ... of the stream, in stream order; it has them all. `read` is told what a pass has read."""
    chosen_K, start_N = sequences_of(stream, first, rows)
    activations_Rd, sequence_R, position_R = None, *torch.empty(2, rows, dtype=torch.long)
    for sequences_B, ids_BT in stream.passes(model.device, chosen_K):
        h_BTd = residual_stream(model, ids_BT, layer)
        if activations_Rd is None:
            activations_Rd = h_BTd.new_empty(rows, h_BTd.shape[2])
        mask_BT = stream.row_mask_NT[sequences_B, : ids_BT.shape[1]]
        place_I = (start_N[sequences_B, None] + mask_BT.cumsum(1) - 1)[mask_BT]
        inside_I = (place_I >= 0) & (place_I < rows)
        from_I, position_I = (x[inside_I] for x in mask_BT.nonzero(as_tuple=True))
        activations_Rd[place_I[inside_I]] = h_BTd[from_I, position_I]
        sequence_R[place_I[inside_I]], position_R[place_I[inside_I]] = sequences_B[from_I], position_I
        read(sequences_B)
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
    the next are computed. Memory holds two times the shards that are read together and one pass, whatever the stream's
    length. `rows` is a multiple of `shard_rows`, as the settings see to. Raises ValueError where the stream has fewer
    rows than asked for.
    """
    if stream.rows < rows:
        raise ValueError(
            f"stream.rows={rows}: the stream holds {stream.rows} rows after the norm filter, lower the number"
        )
    wanted = {*range(rows // shard_rows)} if missing is None else {*missing}
    all_parts = read_together(rows // shard_rows, shard_rows, stream.mixed_lengths)
    parts = [part for part in all_parts if wanted & {*part}]
    reading, norms = Reading(stream, shard_rows * sum(map(len, parts))), HighNorms()
    with ThreadPoolExecutor(max_workers=1) as writer:
        waiting: list[Future] = []
        for part in parts:
            found = harvest_rows(model, stream, layer, part.start * shard_rows, len(part) * shard_rows, reading.see)
            for future in waiting:
                future.result()  # raises here what writing raised
            shards = zip(part, *(x.split(shard_rows) for x in found), strict=True)
            new = [shard for shard in shards if shard[0] in wanted]
            waiting = [writer.submit(write, *shard) for shard in new]
            for _, activations_Nd, *_ in new:
                norms.see(activations_Nd)
        for future in waiting:
            future.result()
    norms.tell()
    reading.padding.tell()


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

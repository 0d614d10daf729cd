"""Shards whose activations say which row of the stream they are."""

from pathlib import Path

import torch

from rlgen.activations.shards import write_manifest, write_shard
from rlgen.names import shard_name

MEMBERS = ["base@1", "sft@5", "rl@5"]


def write_member(
    folder: Path, member: str, shard_rows: list[int], d: int = 3, offset: float = 0.0, **fingerprint
) -> Path:
    """A folder whose activation of stream row i is (i, i, ...) + offset, with token id i, sequence i // 5."""
    fingerprint = {"model": member, "stream": "abc", "layer": 2} | fingerprint
    start = 0
    for index, rows in enumerate(shard_rows):
        row_N = torch.arange(start, start + rows)
        h_Nd = row_N[:, None].float().expand(rows, d) + offset
        write_shard(folder / shard_name(index), h_Nd, row_N, row_N // 5, row_N % 5, fingerprint)
        start += rows
    write_manifest(folder, fingerprint, len(shard_rows))
    return folder


def write_members(root: Path, shard_rows: list[int], d: int = 3) -> list[Path]:
    """One folder per member; member m is 1000 m above the first."""
    return [write_member(root / m, m, shard_rows, d, offset=1000.0 * i) for i, m in enumerate(MEMBERS)]

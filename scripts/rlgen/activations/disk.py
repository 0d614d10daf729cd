"""Whether the shards of a harvest find room on the disk, asked before any model is run."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from rlgen.activations.settings import Harvested
from rlgen.files import ArtifactError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # per number, of rows and of weights
LABEL_BYTES = 3 * 4  # token, sequence and position of a row, int32 each


def hidden_size(checkpoint: Path) -> int:
    """Width of a checkpoint's residual stream, without loading the model."""
    return json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["hidden_size"]


def shard_bytes(settings: Harvested, hidden_size: int) -> int:
    """Size of one shard of one model state."""
    return settings.shard_rows * (hidden_size * BYTES[settings.precision] + LABEL_BYTES)


def check_room(
    outputs: list[Path],
    settings: Harvested,
    hidden_size: int,
    shards_on_disk: int,
    limit_gb: float | None,
    kept: Sequence[Path] = (),
) -> None:
    """Raise ArtifactError where this harvest's shards do not fit on the disk, or all together exceed the limit.

    Folders `kept` hold what a killed harvest has written: it takes its room already.
    """
    size = shard_bytes(settings, hidden_size)
    if limit_gb is not None and shards_on_disk * size > limit_gb * 1e9:
        raise ArtifactError(
            f"stream.disk_gb: {shards_on_disk} shards lie on the disk together, {shards_on_disk * size / 1e9:.3g} GB "
            f"(value {limit_gb:g}); raise it, or take more windows or smaller shards"
        )
    folder = next(parent for parent in outputs[0].absolute().parents if parent.exists())
    written = sum(path.stat().st_size for shards in kept for path in shards.glob("shard*.safetensors"))
    needed, free = len(outputs) * settings.shards * size - written, shutil.disk_usage(folder).free
    if needed > free:
        raise ArtifactError(
            f"{outputs[0].parent}: {needed / 1e9:.3g} GB of shards, {free / 1e9:.3g} GB free; "
            "free some space, or take more windows (stream.windows)"
        )

"""Whether a harvest finds room: sizes as written, limits as configured, said before a model is loaded."""

import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from rlgen.activations import disk
from rlgen.activations.disk import check_room, hidden_size, shard_bytes
from rlgen.activations.settings import Harvested
from rlgen.activations.shards import write_shard
from rlgen.activations.stream import TokenStream
from rlgen.files import ArtifactError
from rlgen.names import shard_name

SCRIPT = Path(disk.__file__).parents[2] / "activations/harvest.py"
Usage = namedtuple("Usage", "total used free")
TEN = Harvested(rows=1000, shard_rows=100, precision="float32")  # ten shards of 100 x (8 x 4 + 12) = 4,400 bytes


@pytest.fixture
def free(monkeypatch):
    """free(bytes): what the disk has left from now on. Records where it was asked."""
    asked = []

    def set_free(size: int) -> list[Path]:
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: asked.append(folder) or Usage(0, 0, size))
        return asked

    return set_free


@pytest.mark.parametrize(("precision", "per_number"), [("float32", 4), ("bfloat16", 2)])
def test_a_shard_is_as_large_as_counted(tmp_path, precision, per_number):
    """Numbers, and three int32 labels per row; the file's header is left out."""
    settings, row_N = Harvested(rows=500, shard_rows=500, precision=precision), torch.arange(500)
    h_Nd = torch.randn(500, 24).to(getattr(torch, precision))
    write_shard(
        tmp_path / shard_name(0), h_Nd, row_N, row_N, row_N, {"model": "base@1", "stream": "a" * 64, "layer": 1}
    )
    assert shard_bytes(settings, 24) == 500 * (24 * per_number + 12)
    assert 0 < (tmp_path / shard_name(0)).stat().st_size - shard_bytes(settings, 24) < 1000


def test_the_papers_shards():
    """200,000 rows of 2,560 numbers in bfloat16: 1.03 GB."""
    assert shard_bytes(Harvested(rows=200_000, shard_rows=200_000, precision="bfloat16"), 2560) == 1_026_400_000


def test_the_width_is_read_without_the_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 2560, "model_type": "qwen3"}))
    assert hidden_size(tmp_path) == 2560


def test_room_on_the_disk_by_hand(tmp_path, free):
    """Two states of ten shards of 4,400 bytes."""
    outputs = [tmp_path / "window1" / name / "new" for name in ("rl@1", "rl@2")]
    assert free(88_000) == []
    check_room(outputs, TEN, 8, 0, None)
    assert free(87_999) == [tmp_path]  # the nearest folder that is there
    with pytest.raises(ArtifactError) as caught:
        check_room(outputs, TEN, 8, 0, None)
    assert str(caught.value) == (
        f"{outputs[0].parent}: 8.8e-05 GB of shards, 8.8e-05 GB free; "
        "free some space, or take more windows (stream.windows)"
    )


def test_what_a_killed_harvest_has_written_takes_no_room_twice(tmp_path, free):
    """One of two states is complete, 44,000 bytes, and the other has a shard and a half: 44,000 - 4,400 are missing."""
    kept = [tmp_path / "state" / name for name in ("rl@1", "rl@2", "rl@3")]
    for folder, shards in zip(kept[:2], (10, 1), strict=True):
        folder.mkdir(parents=True)
        for index in range(shards):
            (folder / shard_name(index)).write_bytes(bytes(4400))
            (folder / shard_name(index)).with_suffix(".sha256").write_text("a" * 64)
    (kept[1] / ".shard001.77.partial.safetensors").write_bytes(bytes(2000))
    outputs = [tmp_path / "out" / name for name in ("rl@1", "rl@2")]
    free(39_600)
    check_room(outputs, TEN, 8, 0, None, kept)
    free(39_599)
    with pytest.raises(ArtifactError, match="GB of shards"):
        check_room(outputs, TEN, 8, 0, None, kept)


def test_the_limit_holds_for_all_shards_together(tmp_path, free):
    """60 shards of 4,400 bytes are 264,000."""
    free(10**9)
    check_room([tmp_path / "rl@1"], TEN, 8, 60, 264_000 / 1e9)
    check_room([tmp_path / "rl@1"], TEN, 8, 60, None)
    with pytest.raises(ArtifactError) as caught:
        check_room([tmp_path / "rl@1"], TEN, 8, 60, 263_999 / 1e9)
    assert str(caught.value) == (
        "stream.disk_gb: 60 shards lie on the disk together, 0.000264 GB (value 0.000263999); "
        "raise it, or take more windows or smaller shards"
    )


@pytest.mark.parametrize("limited", [False, True])
def test_the_script_asks_before_it_loads_a_model(tmp_path, limited):
    """The folder of the model holds nothing but its width, which no disk has room for, or the limit none."""
    stream = TokenStream(torch.ones(2, 3).int(), torch.full((2,), 3).int(), torch.ones(2, 3).bool())
    stream.save(tmp_path / "stream.safetensors", {})
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 64 if limited else 10**15}))
    cfg = {"threads": 1, "states": ["base@1"], "stream": {"layer": 0, "rows": 6, "shard_rows": 3}}
    limit = ["--disk-gb", "1e-6", "--shards-on-disk", "20"] if limited else []
    command = [sys.executable, SCRIPT, "--cfg", json.dumps(cfg), "--stream", tmp_path / "stream.safetensors"]
    command += ["--models", tmp_path, "--outputs", tmp_path / "out", "--state", tmp_path / "kept", *limit]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode and ("stream.disk_gb: 20 shards" if limited else "GB of shards") in run.stderr
    assert not (tmp_path / "out").exists()

"""Artifacts: whole or absent, the same bytes in every process, named when broken."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlgen import files
from rlgen.seeds import stream_seed

SCRIPTS = Path(files.__file__).parents[1]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_canonical_json_loses_nothing(value):
    assert json.loads(files.canonical_json(value)) == value


def test_canonical_json_ignores_the_order_of_keys():
    assert files.canonical_json({"b": 1, "a": {"d": 2, "c": 0.1}}) == '{"a":{"c":0.1,"d":2},"b":1}'
    with pytest.raises(ValueError):
        files.canonical_json({"a": float("nan")})


def test_digests_are_sha256(tmp_path):
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "empty").touch()
    assert files.digest(b"") == files.file_digest(tmp_path / "empty") == empty
    assert files.digest({"a": 1}) == files.digest(b'{"a":1}')


def test_atomic_path_leaves_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "new folder" / "table.csv"
    with files.atomic_path(target) as partial:
        assert partial.suffix == ".csv" and partial.parent == target.parent
        partial.write_text("old")
    with pytest.raises(RuntimeError, match="killed"), files.atomic_path(target) as partial:
        partial.write_text("half a n")
        raise RuntimeError("killed")
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*table\.csv'"),
        files.atomic_path(tmp_path / "table.csv"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as `write` does, which knows no names
    assert list(tmp_path.iterdir()) == []


def test_csv_text_is_fixed(tmp_path):
    table = pd.DataFrame({"value": [1 / 3, np.nan], "task": ["a, b", "é"]}, index=[7, 8])
    files.write_csv(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_bytes() == 'value,task\n0.3333333333,"a, b"\n,é\n'.encode()


def test_parquet_keeps_types_and_drops_the_index(tmp_path):
    table = pd.DataFrame({"value": [1.5, np.nan], "task": ["a", "b"], "kept": [True, False]}, index=[7, 8])
    files.write_parquet(tmp_path / "t.parquet", table)
    back = files.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(back, table.reset_index(drop=True))
    assert list(files.read_parquet(tmp_path / "t.parquet", columns=["task"])) == ["task"]


def test_tensors_come_back_and_their_metadata_too(tmp_path):
    path = tmp_path / "t.safetensors"
    files.write_tensors(path, {"view": torch.arange(6.0).reshape(2, 3).T}, {"layer": "2"})
    tensors, metadata = files.read_tensors(path)
    assert torch.equal(tensors["view"], torch.arange(6.0).reshape(2, 3).T) and metadata == {"layer": "2"}
    files.write_tensors(path, {"ids": np.arange(3, dtype=np.int32)})
    assert files.read_tensors(path, "np")[0]["ids"].tolist() == [0, 1, 2]


def test_tensor_files_have_the_same_bytes_in_every_process(tmp_path):
    program = (
        "import sys, numpy as np; from rlgen.files import write_tensors, file_digest\n"
        "write_tensors(sys.argv[1], {'b': np.ones(3), 'a': np.zeros(5)}, {k: k for k in 'qwertyuiop'})\n"
        "print(file_digest(sys.argv[1]))"
    )
    call = [sys.executable, "-c", program, str(tmp_path / "t.safetensors")]
    digests = {subprocess.run(call, cwd=SCRIPTS, check=True, capture_output=True).stdout for _ in range(3)}
    assert len(digests) == 1


@pytest.mark.parametrize("reader", [files.read_tensors, files.read_parquet])
def test_a_cut_file_is_named(tmp_path, reader):
    path = tmp_path / "cut"
    if reader is files.read_tensors:
        files.write_tensors(path, {"a": torch.ones(100)})
    else:
        files.write_parquet(path, pd.DataFrame({"a": range(100)}))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(files.ArtifactError, match=f"{path}: not a .*delete it and run snakemake again"):
        reader(path)
    with pytest.raises(files.ArtifactError, match="missing"):
        reader(tmp_path / "missing")


@given(st.integers(0, 2**31), st.lists(st.text(), min_size=1, max_size=3))
def test_stream_seeds_fit_every_generator(seed, names):
    value = stream_seed(seed, *names)
    assert 0 <= value < 2**63 and value == stream_seed(seed, *names)
    torch.Generator().manual_seed(value)
    np.random.default_rng(value)


def test_stream_seeds_are_apart():
    named = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "ab"), (0, "a", 0), (0, "a", 1)]
    assert len({stream_seed(seed, *names) for seed, *names in named}) == len(named)


def test_a_file_is_moved_whole_to_another_file_system(tmp_path, monkeypatch):
    """As where results lie behind a link to another disk, on which no file can simply be renamed."""
    replace, seen = os.replace, []

    def within_a_folder(source, target):
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        seen.append(Path(source).read_bytes())
        replace(source, target)

    monkeypatch.setattr(os, "replace", within_a_folder)
    (tmp_path / "disk").mkdir()
    (tmp_path / "shard").write_bytes(b"rows")
    files.move(tmp_path / "shard", tmp_path / "disk/shard")
    assert (tmp_path / "disk/shard").read_bytes() == b"rows" and seen == [b"rows"]
    assert [path.name for path in tmp_path.rglob("*")] == ["disk", "shard"]
    with pytest.raises(FileNotFoundError):
        files.move(tmp_path / "nowhere", tmp_path / "nowhere too")


def test_files_are_moved_in_one_place():
    """`os.rename`, `Path.rename` and `shutil.move` fail, or show half a file, where folders lie on several disks."""
    renaming = re.compile(r"\bos\.(rename|replace)\(|\bshutil\.move\(|\.rename\((?!columns)")
    found = [path.name for path in SCRIPTS.rglob("*.py") if renaming.search(path.read_text(encoding="utf-8"))]
    assert found == ["files.py"]

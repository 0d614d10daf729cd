"""Digests of large files: read once per run, and again as soon as anything about a file has changed."""

import hashlib
import os
import threading

import pytest

from rlgen import digests


@pytest.fixture
def read(tmp_path, monkeypatch) -> list[str]:
    """Names of the files that are read; every file counts as large, and a run has begun."""
    names = []

    def watched(path):
        names.append(os.path.basename(path))
        return hashlib.sha256(open(path, "rb").read()).hexdigest()

    monkeypatch.setattr(digests, "LARGE", 1)
    monkeypatch.setattr(digests, "file_digest", watched)
    for name, value in digests.begin(tmp_path / "results").items():
        monkeypatch.setenv(name, value)
    return names


def test_a_file_is_read_once_per_run_wherever_it_is_moved(tmp_path, read, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"rows")
    expected = hashlib.sha256(b"rows").hexdigest()
    assert [digests.digest_of(path) for _ in range(3)] == [expected] * 3 and read == ["a"]
    os.rename(path, tmp_path / "b")
    assert digests.digest_of(tmp_path / "b") == expected and read == ["a"]
    for name, value in digests.begin(tmp_path / "results").items():  # the next run
        monkeypatch.setenv(name, value)
    assert digests.digest_of(tmp_path / "b") == expected and read == ["a", "b"]


def test_a_changed_file_is_read_again(tmp_path, read):
    path = tmp_path / "a"
    path.write_bytes(b"rows")
    digests.digest_of(path)
    path.write_bytes(b"cows")  # as long
    os.utime(path, ns=(0, 0))
    assert digests.digest_of(path) == hashlib.sha256(b"cows").hexdigest()
    (tmp_path / "other").write_bytes(b"bows")
    os.utime(tmp_path / "other", ns=(0, 0))
    os.replace(tmp_path / "other", path)  # as long and as old, but another file
    assert digests.digest_of(path) == hashlib.sha256(b"bows").hexdigest() and len(read) == 3


def test_small_files_and_runs_without_a_folder_trust_nothing(tmp_path, read, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"rows")
    monkeypatch.setattr(digests, "LARGE", 5)
    digests.digest_of(path), digests.digest_of(path)
    monkeypatch.setattr(digests, "LARGE", 1)
    monkeypatch.delenv(digests.FOLDER)
    digests.digest_of(path), digests.digest_of(path)
    assert len(read) == 4


def test_several_files_are_read_at_the_same_time_and_come_back_in_order(tmp_path, monkeypatch):
    both, paths = threading.Barrier(2, timeout=10), [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
    monkeypatch.delenv(digests.FOLDER, raising=False)
    monkeypatch.setattr(digests, "file_digest", lambda path: f"{path.name}{both.wait() < 0}")
    assert digests.digests_of(paths) == ["aFalse", "bFalse"]


def test_a_folder_is_its_files_and_their_places(tmp_path):
    for name in ("a/b.txt", "c.txt"):
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(name)
    before, size = digests.digest_of(tmp_path / "site"), digests.size_of(tmp_path / "site")
    assert size == len("a/b.txt") + len("c.txt")
    (tmp_path / "site/.snakemake_timestamp").write_text("of the engine")
    assert (digests.digest_of(tmp_path / "site"), digests.size_of(tmp_path / "site")) == (before, size)
    (tmp_path / "site/c.txt").rename(tmp_path / "site/d.txt")
    moved = digests.digest_of(tmp_path / "site")
    (tmp_path / "site/d.txt").write_text("d.txt")
    assert len({before, moved, digests.digest_of(tmp_path / "site")}) == 3
    with pytest.raises(FileNotFoundError):
        digests.size_of(tmp_path / "none")

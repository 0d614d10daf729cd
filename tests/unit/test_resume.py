"""States of killed runs: what comes back, and what is refused."""

import errno
import os
from pathlib import Path

import pytest
import torch

from rlgen.resume import STATE, Resume

TENSORS = {
    "w": torch.arange(6, dtype=torch.float32).view(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "step": torch.tensor(7),
    "none": torch.empty(0, 4),
}
FACTS = {"step": 7, "rng": {"state": 2**127}}


def test_a_state_comes_back_as_it_was(tmp_path):
    Resume(tmp_path / "state").save(TENSORS, FACTS)
    tensors, facts = Resume(tmp_path / "state").load()
    assert facts == FACTS and tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor), name


def test_the_same_state_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        Resume(tmp_path / name).save(TENSORS, FACTS)
    assert (tmp_path / "a" / STATE).read_bytes() == (tmp_path / "b" / STATE).read_bytes()


@pytest.mark.parametrize("place", [0.3, 0.99])
def test_an_altered_or_cut_state_is_named_and_not_used(tmp_path, capsys, place):
    Resume(tmp_path).save(TENSORS, FACTS)
    whole = (tmp_path / STATE).read_bytes()
    at = int(len(whole) * place)
    (tmp_path / STATE).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert Resume(tmp_path).load() is None
    (tmp_path / STATE).write_bytes(whole[:at])
    assert Resume(tmp_path).load() is None
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(str(tmp_path / STATE) in line and "from the beginning" in line for line in said)


def test_without_a_folder_nothing_is_kept_and_time_decides_when_one_is_due(tmp_path, monkeypatch):
    nothing = Resume(None, every_s=0)
    nothing.save(TENSORS, FACTS)
    assert nothing.load() is None and not nothing.due()
    assert Resume(tmp_path, every_s=0).due() and not Resume(tmp_path, every_s=1000).due()
    assert Resume(tmp_path).load() is None
    monkeypatch.setenv("RLGEN_STATE_S", "0")
    kept = Resume(tmp_path)
    assert kept.due()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_state_that_cannot_be_written_is_told_once_and_the_one_before_stays(tmp_path, capsys, monkeypatch, number):
    kept = Resume(tmp_path, every_s=0)
    kept.save(TENSORS, FACTS)

    def refuse(self, data):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    for step in (8, 9):
        kept.save(TENSORS, {"step": step})
        assert kept.due()  # the next one is tried: space may come back
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and str(tmp_path / STATE) in said[0] and os.strerror(number) in said[0]
    monkeypatch.undo()
    assert kept.load()[1] == FACTS
    kept.save(TENSORS, {"step": 10})
    assert kept.load()[1] == {"step": 10}


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    Resume(tmp_path).save(TENSORS, FACTS)
    (tmp_path / ".state.123.partial.safetensors").write_bytes(b"half")
    (tmp_path / ".checkpoint1-abc").mkdir()
    (tmp_path / ".checkpoint1-abc" / "config.json").write_text("{}")
    assert Resume(tmp_path).load() is not None
    assert [path.name for path in tmp_path.iterdir()] == [STATE]

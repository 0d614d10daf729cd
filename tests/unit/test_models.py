"""Checkpoints: the same model after a round trip, the same bytes, refused by name when incomplete."""

import errno
import os

import pytest
import torch
from safetensors import SafetensorError

from rlgen.files import ArtifactError
from rlgen.models import CHECKPOINT_FILES, load_model, load_tokenizer, save_checkpoint, weights_last


@pytest.fixture
def checkpoint(tiny_model, tokenizer, tmp_path):
    save_checkpoint(tiny_model, tokenizer, tmp_path / "checkpoint1")
    return tmp_path / "checkpoint1"


def test_a_checkpoint_comes_back_as_saved(checkpoint, tiny_model):
    assert sorted(path.name for path in checkpoint.iterdir()) == sorted(CHECKPOINT_FILES)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint1"]  # nothing left beside it
    loaded = load_model(checkpoint)
    assert not loaded.training and loaded.dtype == torch.float32
    ids_BT = torch.arange(12).reshape(2, 6)
    assert torch.equal(loaded(ids_BT).logits, tiny_model(ids_BT).logits)


def test_a_checkpoint_has_the_same_bytes_twice(checkpoint, tiny_model, tokenizer, tmp_path):
    save_checkpoint(tiny_model, tokenizer, tmp_path / "again")
    for name in CHECKPOINT_FILES:
        assert (checkpoint / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_saving_replaces_an_older_checkpoint(checkpoint, tiny_model, tokenizer):
    (checkpoint / "model.safetensors").write_bytes(b"old")
    save_checkpoint(tiny_model, tokenizer, checkpoint)
    load_model(checkpoint)


def test_a_folder_without_weights_is_refused(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"checkpoint1: no model\.safetensors; expected a checkpoint folder"):
        load_model(checkpoint)


@pytest.mark.parametrize("size", [0, 4, 100, -4])
def test_cut_weights_are_refused_by_name(checkpoint, size):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ArtifactError, match=r"checkpoint1/model\.safetensors: cannot be read .*delete it"):
        load_model(checkpoint)


def test_a_folder_without_tokenizer_is_refused(checkpoint):
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"checkpoint1: no tokenizer\.json"):
        load_tokenizer(checkpoint)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, os.strerror(errno.EROFS)),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_checkpoint_that_cannot_be_written_is_named_and_the_old_one_stays(
    checkpoint, tiny_model, tokenizer, monkeypatch, error
):
    def refuse(*_, **__):
        raise error

    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    monkeypatch.setattr(tiny_model, "save_pretrained", refuse)
    with pytest.raises(ArtifactError, match=r"checkpoint1: cannot be written .*(Read-only|No space left).*free some"):
        save_checkpoint(tiny_model, tokenizer, checkpoint)
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint1"]


def test_weights_come_last():
    names = [f"checkpoint1/{name}" for name in CHECKPOINT_FILES]
    assert sorted(names, key=weights_last)[-1] == "checkpoint1/model.safetensors"

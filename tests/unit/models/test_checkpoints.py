"""Checkpoints: the same model after a round trip, the same bytes, refused by name when incomplete."""

import errno
import json
import os

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tiny_models import tiny_checkpoint, tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model, load_tokenizer, save_checkpoint, weights_dtype, weights_last
from rlgen.names import CHECKPOINT_FILES


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
    assert torch.equal(load_model(checkpoint).lm_head.weight, tiny_model.lm_head.weight)


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


@pytest.mark.parametrize("architecture", ["Qwen3ForCausalLM", "LlamaForCausalLM"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("gathered", [False, True])
def test_weights_are_saved_in_the_dtype_of_the_parent_in_one_file(tmp_path, architecture, tied, gathered):
    parent = tiny_checkpoint(tmp_path / "parent", architecture, dtype=torch.bfloat16)
    assert weights_dtype(parent) == torch.bfloat16
    config = AutoConfig.from_pretrained(parent, tie_word_embeddings=tied)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        model.model.norm.weight.fill_(1 + 2**-9)  # between two bfloat16 numbers: float32 while it trains
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()} if gathered else None
    folder = tmp_path / "saved"
    save_checkpoint(model, load_tokenizer(parent), folder, torch.bfloat16, weights)
    assert sorted(path.name for path in folder.iterdir()) == sorted(CHECKPOINT_FILES)
    assert weights_dtype(folder) == torch.bfloat16 and model.dtype == torch.float32
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert ("lm_head.weight" in file.keys()) == (not tied)  # noqa: SIM118 (not a dict)
    again = load_model(folder, dtype=torch.bfloat16)
    assert again.dtype == torch.bfloat16 and again.config.architectures == [architecture]
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.to(torch.bfloat16)), name


def test_a_chat_template_is_saved_among_the_five_files(tmp_path):
    parent = tiny_checkpoint(tmp_path / "parent")
    assert load_tokenizer(parent).chat_template == tiny_tokenizer().chat_template is not None


def test_quantised_weights_are_refused_by_name(checkpoint):
    save_file({"weight": torch.zeros(4, dtype=torch.int8)}, checkpoint / "model.safetensors")
    with pytest.raises(ArtifactError, match=r"model\.safetensors: most tensors are I8, expected one of F32, BF16, F16"):
        weights_dtype(checkpoint)

